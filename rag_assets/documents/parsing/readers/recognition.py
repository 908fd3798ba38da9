"""Text in pictures, recognised by RapidOCR, whose models are in its wheel: the extra `ocr`."""

import functools
from typing import Any

from rag_assets.documents.parsing.heartbeat import beat
from rag_assets.documents.parsing.readers.layout.geometry import Segment

# Letters of 8 points are about 22 pixels high, which the models read well; more takes longer and finds no more.
_DOTS_PER_INCH = 200
_MAX_SIDE = 4_000
# Longest side, in pixels, of the picture that lines are looked for in. Of a page with letters of 6 to 24 points, 1280
# found all words, 960 99.6% and 736 91%; a few words on an empty page are found at 736 alone.
_SIDES = (1280, 736)
_LEAST_SCORE = 0.5


def recognise_page(page: Any) -> list[Segment]:
    """The lines of text that are seen on a page of a PDF, in points."""
    width, height = page.get_size()
    scale = min(_DOTS_PER_INCH / 72, _MAX_SIDE / max(width, height, 1))
    return recognise_picture(page.render(scale=scale).to_numpy(), scale)


def recognise_picture(picture: Any, scale: float) -> list[Segment]:
    """The lines of text in an array of pixels, of which there are `scale` for each point."""
    engine = _engine()
    segments: list[Segment] = []
    for engine.text_det.limit_side_len in _SIDES:
        beat()
        found = engine(picture)
        for corners, text, score in zip(found.boxes or (), found.txts or (), found.scores or (), strict=True):
            if score >= _LEAST_SCORE and text.strip():
                xs, ys = [float(x) / scale for x, _ in corners], [float(y) / scale for _, y in corners]
                line = " ".join(text.split())
                segments.append(Segment(line, min(xs), min(ys), max(xs), max(ys), size=max(ys) - min(ys)))
        if segments:
            break
    beat()
    return segments


@functools.cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.limit_type": "max",
            # As many as the parser's processes leave: one each.
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )

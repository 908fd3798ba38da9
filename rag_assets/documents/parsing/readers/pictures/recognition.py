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
_SAME_SIZE = 1.3


def recognise_page(page: Any) -> list[Segment]:
    """The lines of text that are seen on a page of a PDF, in points."""
    width, height = page.get_size()
    scale = min(_DOTS_PER_INCH / 72, _MAX_SIDE / max(width, height, 1))
    return recognise_picture(page.render(scale=scale).to_numpy(), scale)


def recognise_picture(picture: Any, scale: float) -> list[Segment]:
    """The lines of text in an array of pixels, of which there are `scale` for each point."""
    segments: list[Segment] = []
    for side in _SIDES:
        beat()
        found = _engine(side)(picture)
        if found.boxes is None or found.txts is None or found.scores is None:
            continue
        for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            if score >= _LEAST_SCORE and text.strip():
                xs, ys = [float(x) / scale for x, _ in corners], [float(y) / scale for _, y in corners]
                line = " ".join(text.split())
                segments.append(Segment(line, min(xs), min(ys), max(xs), max(ys), size=max(ys) - min(ys)))
        if segments:
            break
    beat()
    _even_out(segments)
    return segments


def _even_out(segments: list[Segment]) -> None:
    """Letters of one size are seen in boxes that differ by a fifth: they get their usual height."""
    ordered = sorted(segments, key=lambda segment: segment.size)
    start = 0
    for index in range(1, len(ordered) + 1):
        if index == len(ordered) or ordered[index].size > _SAME_SIZE * ordered[start].size:
            group = ordered[start:index]
            usual = group[len(group) // 2].size
            for segment in group:
                middle = (segment.top + segment.bottom) / 2
                segment.top, segment.bottom, segment.size = middle - usual / 2, middle + usual / 2, usual
            start = index


@functools.cache
def _engine(side: int) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.limit_type": "max",
            "Det.limit_side_len": side,
            # One for each of the parser's processes.
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )

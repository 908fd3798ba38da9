"""Text in pictures, recognised by RapidOCR, whose models are in its wheel: the extra `ocr`."""

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

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
# How many lines of at least so many letters tell how the picture lies, and from when a line is tall.
_VOTERS, _LINE_CHARS, _TALL = 12, 4, 1.5

# Left, top, right and bottom in pixels, and the text.
Line: TypeAlias = tuple[float, float, float, float, str]


def recognise_page(page: Any) -> list[Segment]:
    """The lines of text that are seen on a page of a PDF, in points."""
    width, height = page.get_size()
    scale = min(_DOTS_PER_INCH / 72, _MAX_SIDE / max(width, height, 1))
    return recognise_picture(page.render(scale=scale).to_numpy(), scale)


def recognise_picture(picture: Any, scale: float) -> list[Segment]:
    """The lines of text in an array of pixels, of which there are `scale` for each point.

    A picture that lies on its side or upside down is turned before: its lines are read, but in another order.
    """
    import numpy

    segments: list[Segment] = []
    for side in _SIDES:
        lines = _read_lines(picture, side)
        if lines and (turns := _count_quarter_turns(picture, lines, side)):
            lines = _read_lines(numpy.ascontiguousarray(numpy.rot90(picture, turns)), side)
        for left, top, right, bottom, text in lines:
            place = left / scale, top / scale, right / scale, bottom / scale
            segments.append(Segment(text, *place, size=(bottom - top) / scale))
        if segments:
            break
    _even_out(segments)
    return segments


def _read_lines(picture: Any, side: int) -> list[Line]:
    beat()
    found = _engine(side)(picture)
    beat()
    if found.boxes is None or found.txts is None or found.scores is None:
        return []
    lines = []
    for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
        if score >= _LEAST_SCORE and text.strip():
            xs, ys = [float(x) for x, _ in corners], [float(y) for _, y in corners]
            lines.append((min(xs), min(ys), max(xs), max(ys), " ".join(text.split())))
    return lines


def _count_quarter_turns(picture: Any, lines: Sequence[Line], side: int) -> int:
    """How often the picture must be turned to the left, so that most of its longer lines are upright."""
    import numpy

    longest = sorted((line for line in lines if len(line[4]) >= _LINE_CHARS), key=lambda line: -len(line[4]))[:_VOTERS]
    tall = [bottom - top > _TALL * (right - left) for left, top, right, bottom, _ in longest]
    lies = sum(tall) * 2 > len(tall)
    # Where most lines are tall, they are turned to the left; then they are upright or upside down.
    crops = [
        numpy.rot90(picture[int(top) : int(bottom) + 1, int(left) : int(right) + 1], int(lies))
        for (left, top, right, bottom, _), is_tall in zip(longest, tall, strict=True)
        if is_tall == lies
    ]
    if not crops:
        return 0
    labels = [label for label, _ in _engine(side).text_cls([numpy.ascontiguousarray(crop) for crop in crops]).cls_res]
    is_upside_down = sum("180" in label for label in labels) * 2 > len(labels)
    return int(lies) + 2 * is_upside_down


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

"""Segments in reading order to the blocks of a text: paragraphs, list items, rows of cells, code and tables."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rag_assets.documents.parsing.readers.layout.geometry import (
    RIGHT_TO_LEFT,
    Segment,
    median,
    on_one_row,
)

_MARKS = "•●▪■◦○‣∙·➢➤✓❖"
_ITEM = re.compile(rf"(?:[{_MARKS}]|[\u2013\u2014*-](?= |$)|\(?(?:\d{{1,3}}|[a-zA-Z]|[ivx]{{1,5}})[.)](?= |$))\s*")
_BULLET = re.compile(rf"[{_MARKS}]\s*")
_DIVIDED = re.compile("[^\\W\\d][-\u2010\u00ad]$")
# Of an item or a heading.
_NUMBER = re.compile(rf"[{_MARKS}\u2013\u2014*-]|\(?(?:[A-Z]?\d{{1,3}}(?:\.\d{{1,3}})*|[a-zA-Z]|[IVXivx]{{1,5}})[.):]?")
# Of an entry in a table of contents.
_DOT_LEADER = re.compile(r"(?:[.·…]\s?){5}")
# In heights of a line.
_CELL_GAP = 2.0
# A block narrower than this share of the widest line, and than so many points, may be a list of short lines.
_NARROW = 0.6
_NARROW_POINTS = 220
_MORE_THAN_USUAL = 0.35
_INDENT = 0.8
_SAME_SIZE = 0.08


class TextLine:
    """The segments of one row of a column."""

    __slots__ = ("bold", "bottom", "height", "is_row", "left", "monospaced", "right", "segments", "size", "text", "top")

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        main = max(segments, key=lambda segment: len(segment.text)) if len(segments) > 1 else segments[0]
        self.top, self.bottom, self.height, self.size = main.top, main.bottom, main.height, main.size
        self.left = min([segment.left for segment in segments])
        self.right = max([segment.right for segment in segments])
        self.bold = all(segment.bold for segment in segments)
        self.monospaced = all(segment.monospaced for segment in segments)
        # Cells beside each other, not a sentence; the number of an item or heading is no cell.
        self.is_row = any(
            max(other.left - one.right, one.left - other.right) > _CELL_GAP * one.height
            and not (index == 0 and _NUMBER.fullmatch(one.text))
            for index, (one, other) in enumerate(pairwise(segments))
        )
        self.text = ("  " if self.is_row else " ").join([segment.text for segment in segments])


@dataclass(slots=True)
class TextBlock:
    """Lines that belong together. `page` counts from 0; a paragraph may run on over the next pages."""

    kind: Literal["text", "rows", "code", "table"]
    lines: list[TextLine]
    page: int
    table: Segment | None = None
    level: int = 0  # of a heading
    keeps_lines: bool = False

    @property
    def size(self) -> float:
        return median([line.size for line in self.lines])

    @property
    def bold(self) -> bool:
        return all(line.bold for line in self.lines)


def make_blocks(segments: Sequence[Segment], page: int) -> list[TextBlock]:
    blocks: list[TextBlock] = []
    lines = list(_lines(segments))
    usual = _usual_gap(lines)
    for line in lines:
        segment = line.segments[0]
        if segment.is_table:
            blocks.append(TextBlock("table", [line], page, segment))
        elif blocks and blocks[-1].kind != "table" and _belongs(blocks[-1].lines[-1], line, usual):
            blocks[-1].lines.append(line)
        else:
            blocks.append(TextBlock("rows" if line.is_row else "code" if line.monospaced else "text", [line], page))
    widest = max((line.right - line.left for line in lines), default=0.0)
    for block in blocks:
        block.keeps_lines = _is_list(block, min(_NARROW * widest, _NARROW_POINTS))
    return blocks


def _is_list(block: TextBlock, narrow: float) -> bool:
    """Short lines of which none continues a sentence: an address, the lines of a form."""
    return (
        max(line.right for line in block.lines) - min(line.left for line in block.lines) < narrow
        and not any(line.text[0].islower() for line in block.lines[1:] if line.text)
        and not any(_DIVIDED.search(line.text) for line in block.lines)
    )


def paragraphs(block: TextBlock) -> Iterator[list[TextLine]]:
    """The lines of a block of text, parted where a paragraph or an item begins or a line was ended on purpose."""
    left, right = min(line.left for line in block.lines), max(line.right for line in block.lines)
    current: list[TextLine] = []
    for line in block.lines:
        if current and (block.keeps_lines or _starts_paragraph(current, line, left, right)):
            yield current
            current = []
        current.append(line)
    yield current


def _starts_paragraph(current: Sequence[TextLine], line: TextLine, left: float, right: float) -> bool:
    above = current[-1]
    if _DIVIDED.search(above.text) and line.text[0].islower():
        return False
    if _ITEM.match(line.text) or _DOT_LEADER.search(above.text):
        return True
    hangs = bool(_ITEM.match(current[0].text))
    if not hangs and line.left - left > _INDENT * line.height and above.left - left < _INDENT / 2 * line.height:
        return True
    # The first word of this line would have had room on the line above.
    first_word = line.text.split(" ", 1)[0]
    width = (line.right - line.left) * len(first_word) / max(1, len(line.text))
    return right - above.right > 1.3 * width + line.height


def bullets_to_markdown(text: str) -> str:
    return _BULLET.sub("- ", text, count=1) if _BULLET.match(text) else text


def _lines(segments: Sequence[Segment]) -> Iterator[TextLine]:
    row: list[Segment] = []
    for segment in segments:
        if row and not _continues_row(row[-1], segment):
            yield TextLine(row)
            row = []
        row.append(segment)
    if row:
        yield TextLine(row)


def _continues_row(last: Segment, segment: Segment) -> bool:
    return (
        not (last.is_table or segment.is_table)
        and last.turned == segment.turned
        and on_one_row(last, segment)
        and (segment.left >= last.left or bool(RIGHT_TO_LEFT.search(last.text + segment.text)))
    )


def _usual_gap(lines: Sequence[TextLine]) -> float:
    """The usual distance between lines, in their heights."""
    gaps = [
        (below.top - above.bottom) / above.height
        for above, below in pairwise(lines)
        if below.top > above.top and _in_one_column(above, below) and below.top - above.bottom < 1.5 * above.height
    ]
    return median(gaps)


def _in_one_column(above: TextLine, below: TextLine) -> bool:
    shared = min(above.right, below.right) - max(above.left, below.left)
    return shared > 0.3 * min(above.right - above.left, below.right - below.left)


def _belongs(above: TextLine, line: TextLine, usual: float) -> bool:
    return (
        line.top > above.top
        and (line.is_row or _in_one_column(above, line))
        and (line.top - above.bottom) / above.height < usual + _MORE_THAN_USUAL
        and abs(line.size - above.size) <= _SAME_SIZE * above.size
        and above.is_row == line.is_row
        and (above.is_row or (above.bold == line.bold and above.monospaced == line.monospaced))
        and above.segments[0].turned == line.segments[0].turned
    )

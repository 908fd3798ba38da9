"""The order in which the segments of a page are read.

A PDF draws its text in any order. Most programs draw it in reading order, also in columns and side bars, which no
geometry tells for certain. So the drawn order stays, but for what stands above text drawn before it, unless another one
lets clearly more lines continue the line above them: columns that are drawn across, line by line, and pages that are
drawn upwards or piecemeal.
"""

from collections.abc import Sequence
from itertools import pairwise

from rag_assets.documents.parsing.readers.layout.geometry import (
    RIGHT_TO_LEFT,
    Segment,
    median,
    on_one_row,
    overlap_in_x,
)
from rag_assets.documents.parsing.readers.layout.stretched_lines import join_stretched_lines

# A column of prose has at least so many lines, and most of them are so full and begin with a small letter.
_MIN_LINES = 3
_MIN_FILL = 0.6
_MIN_SMALL_STARTS = 0.35
# In heights of a line: what is farther below is another block.
_FAR = 1.5
# Blocks may overlap by so many points, and stand above each other if they share so much of the narrower one's width.
_TOUCHING = 2.0
_SHARED = 0.3
# The arranged order has to let so many more of all lines continue the line above.
_MARGIN = 0.2


def reading_order(segments: Sequence[Segment]) -> list[Segment]:
    segments = join_stretched_lines(segments)
    drawn = [segment for segment in segments if not segment.turned]
    return _upright_order(drawn) + [segment for segment in segments if segment.turned]


def _upright_order(drawn: list[Segment]) -> list[Segment]:
    if _continued(drawn) >= (1 - _MARGIN) * len(drawn):
        return _move_up(drawn)
    arranged = _arrange(drawn)
    return arranged if _continued(arranged) > _continued(drawn) + _MARGIN * len(drawn) else _move_up(drawn)


def _move_up(drawn: list[Segment]) -> list[Segment]:
    """What stands above text that was drawn before it is read first, as a title that is drawn last."""
    if all(below.top >= above.top - _TOUCHING for above, below in pairwise(drawn)):
        return drawn
    blocks: list[_DrawnBlock] = []
    for segment in drawn:
        if not blocks or not blocks[-1].add(segment):
            blocks.append(_DrawnBlock(segment))
    ordered: list[_DrawnBlock] = []
    for block in blocks:
        at = len(ordered)
        # Most blocks stand below the one drawn before them.
        if ordered and block.top < ordered[-1].top:
            at = next((index for index, other in enumerate(ordered) if block.is_above(other)), at)
        ordered.insert(at, block)
    return [segment for block in ordered for segment in block.segments]


class _DrawnBlock:
    """Segments that are drawn one after the other and stand below or beside each other."""

    def __init__(self, first: Segment) -> None:
        self.segments = [first]
        self.left, self.right, self.top, self.bottom = first.left, first.right, first.top, first.bottom

    def add(self, segment: Segment) -> bool:
        last = self.segments[-1]
        beside = on_one_row(last, segment) and segment.left >= last.left
        below = segment.top >= last.top and overlap_in_x(last, segment) > 0
        if not (beside or below) or segment.top - last.bottom > _FAR * max(last.height, segment.height):
            return False
        self.segments.append(segment)
        self.left, self.right = min(self.left, segment.left), max(self.right, segment.right)
        self.top, self.bottom = min(self.top, segment.top), max(self.bottom, segment.bottom)
        return True

    def is_above(self, other: "_DrawnBlock") -> bool:
        shared = min(self.right, other.right) - max(self.left, other.left)
        narrower = min(self.right - self.left, other.right - other.left)
        return self.bottom <= other.top + _TOUCHING and shared > _SHARED * narrower


def _continued(segments: Sequence[Segment]) -> int:
    """How many segments stand right below the one before them."""
    return sum(
        overlap_in_x(above, below) > 0.5 and -0.5 < (below.top - above.bottom) / max(above.height, 1e-6) < 1.5
        for above, below in pairwise(segments)
    )


def _arrange(segments: list[Segment]) -> list[Segment]:
    """Rows from top to bottom; where columns of prose stand side by side, one column after the other."""
    gutter = _find_gutter(segments)
    if gutter is None:
        return _in_rows(segments)
    crossing = sorted((one for one in segments if one.left < gutter < one.right), key=lambda one: one.top)
    arranged: list[Segment] = []
    rest = [one for one in segments if not one.left < gutter < one.right]
    for above in [*crossing, None]:
        band = [one for one in rest if above is None or one.top < above.top]
        rest = [one for one in rest if not (above is None or one.top < above.top)]
        left = [one for one in band if one.right <= gutter]
        right = [one for one in band if one.left >= gutter]
        if _side_by_side(left, right):
            # Columns of a script that runs from right to left begin on the right.
            reverse = sum(bool(RIGHT_TO_LEFT.search(one.text)) for one in band) > len(band) / 2
            for column in (right, left) if reverse else (left, right):
                arranged += _arrange(column)
        else:
            arranged += _in_rows(band)
        if above is not None:
            arranged.append(above)
    return arranged


def _find_gutter(segments: Sequence[Segment]) -> float | None:
    """The x with the most lines of prose on both sides, in bands that no line crosses."""
    candidates: dict[int, float] = {}
    rows = _rows(segments)
    for row in rows:
        for one, other in pairwise(row):
            middle = (one.right + other.left) / 2
            candidates.setdefault(round(middle / 4), middle)
    best, found = 0, None
    for x in candidates.values():
        lines = 0
        crossing = sorted(one.top for one in segments if one.left < x < one.right)
        rest = [one for one in segments if not one.left < x < one.right]
        for low, high in pairwise([float("-inf"), *crossing, float("inf")]):
            band = [one for one in rest if low <= one.top < high]
            left = [one for one in band if one.right <= x]
            right = [one for one in band if one.left >= x]
            if _side_by_side(left, right):
                lines += min(len(left), len(right))
        if lines > best:
            best, found = lines, x
    return found


def _side_by_side(left: Sequence[Segment], right: Sequence[Segment]) -> bool:
    return (
        min(len(left), len(right)) >= _MIN_LINES
        and min(max(one.bottom for one in left), max(one.bottom for one in right))
        > max(min(one.top for one in left), min(one.top for one in right))
        and _is_prose(left)
        and _is_prose(right)
    )


def _is_prose(lines: Sequence[Segment]) -> bool:
    width = max(one.right for one in lines) - min(one.left for one in lines)
    # Columns inside of this one are looked for later: lines are as full as the space up to the next segment allows.
    full = [
        (max(other.right for other in row) - min(other.left for other in row)) / max(width, 1e-6)
        for row in _rows(lines)
    ]
    starts = [one.text[0] for one in lines if one.text and one.text[0].isalpha()]
    cased = [start for start in starts if start.islower() or start.isupper()]
    small = sum(start.islower() for start in cased)
    return median(full) >= _MIN_FILL and small >= _MIN_SMALL_STARTS * len(cased)


def _in_rows(segments: Sequence[Segment]) -> list[Segment]:
    # Rows of a script that runs from right to left are read so.
    return [
        one
        for row in _rows(segments)
        for one in (reversed(row) if any(RIGHT_TO_LEFT.search(cell.text) for cell in row) else row)
    ]


def _rows(segments: Sequence[Segment]) -> list[list[Segment]]:
    rows: list[list[Segment]] = []
    for one in sorted(segments, key=lambda one: (one.top + one.bottom, one.left)):
        if rows and on_one_row(rows[-1][0], one):
            rows[-1].append(one)
        else:
            rows.append([one])
    for row in rows:
        row.sort(key=lambda one: one.left)
    return rows

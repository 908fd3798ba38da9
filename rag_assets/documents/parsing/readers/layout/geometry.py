"""Boxes of a page, in points, with y growing downwards and text running from left to right."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Hebrew, Arabic and the scripts beside them.
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

Box = tuple[float, float, float, float]

# (left, bottom, right, top) of a PDF, whose y grows upwards, to (left, top, right, bottom), for text that is turned
# counter-clockwise by so many quarters.
_UPRIGHT: dict[int, Callable[[float, float, float, float], Box]] = {
    0: lambda left, bottom, right, top: (left, -top, right, -bottom),
    1: lambda left, bottom, right, top: (bottom, left, top, right),
    2: lambda left, bottom, right, top: (-right, bottom, -left, top),
    3: lambda left, bottom, right, top: (-top, -right, -bottom, -left),
}


def upright(quarters: int) -> Callable[[float, float, float, float], Box]:
    """The function that turns a box of a page so that text turned by `quarters` runs from left to right."""
    return _UPRIGHT[quarters]


@dataclass(slots=True)
class Word:
    text: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(slots=True)
class Segment:
    """Words of a line without a wide gap between them, or a whole table."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    # Of the letters, in points.
    size: float
    bold: bool = False
    monospaced: bool = False
    # Not in the direction of the text of the page: in a margin, or a watermark.
    turned: bool = False
    # The column edges of a table, in which case `text` is its Markdown.
    table_columns: tuple[float, ...] = ()
    table_rows: int = 0

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def is_table(self) -> bool:
        return bool(self.table_columns)


def union(one: Box, other: Box) -> Box:
    """The box around both, of a page whose y grows in either direction."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def on_one_row(one: Word | Segment, other: Word | Segment) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    low, high = one.bottom - one.top, other.bottom - other.top
    if low > high:
        low, high = high, low
    # An index or exponent is smaller, and half outside of the row.
    return shared >= (0.5 if low > 0.85 * high else 0.2) * low


def overlap_in_x(one: Segment, other: Segment) -> float:
    """The share of the narrower one's width that both have in common."""
    shared = min(one.right, other.right) - max(one.left, other.left)
    return shared / max(1e-6, min(one.right - one.left, other.right - other.left))


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0

"""The rules of tables: straight lines, and the edges of boxes, joined where they touch."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_assets.documents.parsing.readers.layout.geometry import Box

# Points: lines nearer than this are one, lines shorter than this rule nothing, thicker ones are boxes.
SNAP = 3.0
_MIN_LENGTH = 8.0
_MAX_THICKNESS = 3.0


@dataclass(slots=True)
class Rule:
    """A horizontal rule at y = `at` from x = `start` to x = `end`; a vertical one with x and y exchanged."""

    at: float
    start: float
    end: float

    def meets(self, across: "Rule") -> bool:
        return across.start - SNAP <= self.at <= across.end + SNAP and self.start - SNAP <= across.at <= self.end + SNAP


def find_rules(boxes: Iterable[Box]) -> tuple[list[Rule], list[Rule]]:
    horizontal, vertical = [], []
    for left, top, right, bottom in boxes:
        width, height = right - left, bottom - top
        if height <= _MAX_THICKNESS:
            if width >= _MIN_LENGTH:
                horizontal.append(Rule((top + bottom) / 2, left, right))
        elif width <= _MAX_THICKNESS:
            if height >= _MIN_LENGTH:
                vertical.append(Rule((left + right) / 2, top, bottom))
        elif width >= _MIN_LENGTH and height >= _MIN_LENGTH:
            horizontal += [Rule(top, left, right), Rule(bottom, left, right)]
            vertical += [Rule(left, top, bottom), Rule(right, top, bottom)]
    return _join(horizontal), _join(vertical)


def _join(rules: list[Rule]) -> list[Rule]:
    """Rules on one line that touch become one: most programs draw a border for each cell."""
    at = clusters([rule.at for rule in rules])
    by_line: dict[float, list[Rule]] = defaultdict(list)
    for rule in rules:
        by_line[nearest(at, rule.at)].append(rule)
    joined = []
    for line, pieces in by_line.items():
        pieces.sort(key=lambda rule: rule.start)
        last = Rule(line, pieces[0].start, pieces[0].end)
        for piece in pieces[1:]:
            if piece.start <= last.end + SNAP:
                last.end = max(last.end, piece.end)
            else:
                joined.append(last)
                last = Rule(line, piece.start, piece.end)
        joined.append(last)
    return joined


def clusters(values: Iterable[float]) -> list[float]:
    """The values in order; those nearer than the snap distance become one, their mean."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and value - groups[-1][-1] <= SNAP:
            groups[-1].append(value)
        else:
            groups.append([value])
    return [sum(group) / len(group) for group in groups]


def nearest(values: Sequence[float], value: float) -> float:
    index = bisect_right(values, value)
    return min(values[max(0, index - 1) : index + 1], key=lambda other: abs(other - value))

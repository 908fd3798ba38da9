"""Tables that are ruled: the grid that the lines and boxes of a page draw, filled with the words inside of it."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag_assets.documents.parsing.readers.layout.geometry import Box, Segment, Word, median, on_one_row
from rag_assets.documents.parsing.readers.layout.hyphenation import Hyphenation

# Points: lines nearer than this are one, lines shorter than this rule nothing, thicker ones are boxes.
_SNAP = 3.0
_MIN_LENGTH = 8.0
_MAX_THICKNESS = 3.0
_MAX_CELLS = 20_000
_MAX_STACK = 60
# A cell with more is a part of the layout of the page.
_MAX_CELL_CHARS = 1200
# The cells of a table without vertical rules are short; lines of prose in columns are not.
_MAX_MEAN_CELL_CHARS = 32


@dataclass(slots=True)
class _Rule:
    """A horizontal rule at y = `at` from x = `start` to x = `end`; a vertical one with x and y exchanged."""

    at: float
    start: float
    end: float

    def meets(self, across: "_Rule") -> bool:
        return (
            across.start - _SNAP <= self.at <= across.end + _SNAP
            and self.start - _SNAP <= across.at <= self.end + _SNAP
        )


def find_ruled_tables(words: Sequence[Word], boxes: Iterable[Box]) -> list[tuple[Segment, list[int]]]:
    """The tables, each with the indexes of its words; `boxes` are those of the lines and rectangles of the page."""
    horizontal, vertical = _rules(boxes)
    found: list[tuple[Segment, list[int]]] = []
    taken: set[int] = set()
    free = {id(rule): rule for rule in horizontal}
    for rows, columns in _grids(horizontal, vertical):
        table = _fill_grid(words, rows, columns)
        if table is not None and taken.isdisjoint(table[1]):
            taken.update(table[1])
            found.append(table)
            for rule in rows:
                free.pop(id(rule), None)
    for rules in _stacks(list(free.values())):
        first = 0
        while first + 2 < len(rules):
            # Of several tables below each other, each is found on its own: over all of them the text has no columns.
            for last in range(min(len(rules), first + _MAX_STACK), first + 2, -1):
                table = _fill_stack(words, rules[first:last])
                if table is not None and taken.isdisjoint(table[1]):
                    taken.update(table[1])
                    found.append(table)
                    first = last - 1
                    break
            first += 1
    return found


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def _rules(boxes: Iterable[Box]) -> tuple[list[_Rule], list[_Rule]]:
    horizontal, vertical = [], []
    for left, top, right, bottom in boxes:
        width, height = right - left, bottom - top
        if height <= _MAX_THICKNESS:
            if width >= _MIN_LENGTH:
                horizontal.append(_Rule((top + bottom) / 2, left, right))
        elif width <= _MAX_THICKNESS:
            if height >= _MIN_LENGTH:
                vertical.append(_Rule((left + right) / 2, top, bottom))
        elif width >= _MIN_LENGTH and height >= _MIN_LENGTH:
            horizontal += [_Rule(top, left, right), _Rule(bottom, left, right)]
            vertical += [_Rule(left, top, bottom), _Rule(right, top, bottom)]
    return _join(horizontal), _join(vertical)


def _join(rules: list[_Rule]) -> list[_Rule]:
    """Rules on one line that touch become one: most programs draw a border for each cell."""
    at = _clusters([rule.at for rule in rules])
    by_line: dict[float, list[_Rule]] = defaultdict(list)
    for rule in rules:
        by_line[_nearest(at, rule.at)].append(rule)
    joined = []
    for line, pieces in by_line.items():
        pieces.sort(key=lambda rule: rule.start)
        last = _Rule(line, pieces[0].start, pieces[0].end)
        for piece in pieces[1:]:
            if piece.start <= last.end + _SNAP:
                last.end = max(last.end, piece.end)
            else:
                joined.append(last)
                last = _Rule(line, piece.start, piece.end)
        joined.append(last)
    return joined


def _grids(horizontal: list[_Rule], vertical: list[_Rule]) -> list[tuple[list[_Rule], list[_Rule]]]:
    """The rules that meet each other, directly or through others."""
    parent = list(range(len(horizontal) + len(vertical)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for v, upright in enumerate(vertical, start=len(horizontal)):
        for h, level in enumerate(horizontal):
            if upright.meets(level):
                parent[root(v)] = root(h)
    groups: dict[int, tuple[list[_Rule], list[_Rule]]] = defaultdict(lambda: ([], []))
    for index, rule in enumerate([*horizontal, *vertical]):
        groups[root(index)][index >= len(horizontal)].append(rule)
    return [(rows, columns) for rows, columns in groups.values() if rows and columns and len(rows) + len(columns) >= 4]


def _fill_grid(
    words: Sequence[Word], horizontal: list[_Rule], vertical: list[_Rule]
) -> tuple[Segment, list[int]] | None:
    # Where the outer border is missing, the ends of the rules stand for it.
    xs = _clusters([rule.at for rule in vertical] + [x for rule in horizontal for x in (rule.start, rule.end)])
    ys = _clusters([rule.at for rule in horizontal] + [y for rule in vertical for y in (rule.start, rule.end)])
    columns, rows = len(xs) - 1, len(ys) - 1
    if columns < 2 or columns * rows > _MAX_CELLS:
        return None
    merged = _merge_cells(xs, ys, horizontal, vertical)
    cells: dict[int, list[int]] = defaultdict(list)
    for index, word in enumerate(words):
        x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
        if xs[0] <= x < xs[-1] and ys[0] <= y < ys[-1]:
            cells[merged[(bisect_right(ys, y) - 1) * columns + bisect_right(xs, x) - 1]].append(index)
    texts = {cell: _cell_text([words[index] for index in indexes]) for cell, indexes in cells.items()}
    grid = [[texts.get(row * columns + column, "") for column in range(columns)] for row in range(rows)]
    return _table(grid, xs, ys[0], ys[-1], [index for indexes in cells.values() for index in indexes])


def _merge_cells(
    xs: Sequence[float], ys: Sequence[float], horizontal: Iterable[_Rule], vertical: Iterable[_Rule]
) -> list[int]:
    """For each cell of the grid, row by row, the first cell that no rule parts it from."""
    columns, rows = len(xs) - 1, len(ys) - 1
    first = list(range(columns * rows))

    def root(cell: int) -> int:
        while first[cell] != cell:
            first[cell] = cell = first[first[cell]]
        return cell

    def join(cell: int, other: int) -> None:
        low, high = sorted((root(cell), root(other)))
        first[high] = low

    upright, level = _covered(xs, ys, vertical), _covered(ys, xs, horizontal)
    for row in range(rows):
        for column in range(columns):
            cell = row * columns + column
            if column + 1 < columns and (column + 1, row) not in upright:
                join(cell, cell + 1)
            if row + 1 < rows and (row + 1, column) not in level:
                join(cell, cell + columns)
    return [root(cell) for cell in range(columns * rows)]


def _covered(lines: Sequence[float], across: Sequence[float], rules: Iterable[_Rule]) -> set[tuple[int, int]]:
    """(line, interval of `across`) for each border of a cell that a rule draws."""
    covered = set()
    for rule in rules:
        line = lines.index(_nearest(lines, rule.at))
        for interval, (start, end) in enumerate(pairwise(across)):
            if rule.start <= (start + end) / 2 <= rule.end:
                covered.add((line, interval))
    return covered


def _stacks(horizontal: Sequence[_Rule]) -> Iterable[list[_Rule]]:
    """Three or more rules of the same ends below each other: the rules of a table in a scientific paper."""
    by_ends: dict[tuple[int, int], list[_Rule]] = defaultdict(list)
    for rule in horizontal:
        by_ends[round(rule.start / _SNAP), round(rule.end / _SNAP)].append(rule)
    for rules in by_ends.values():
        if len(rules) >= 3:
            yield sorted(rules, key=lambda rule: rule.at)


def _fill_stack(words: Sequence[Word], rules: Sequence[_Rule]) -> tuple[Segment, list[int]] | None:
    top, bottom = rules[0].at, rules[-1].at
    left, right = rules[0].start - _SNAP, rules[0].end + _SNAP
    inside = [
        index
        for index, word in enumerate(words)
        if top <= (word.top + word.bottom) / 2 < bottom and left <= (word.left + word.right) / 2 <= right
    ]
    rows = _word_rows(words, inside)
    if len(rows) < 2 or not _is_filled(rules, [words[row[0]] for row in rows]):
        return None
    xs = [left, *_gutters(words, rows), right]
    grid: list[list[str]] = []
    heads = sum((words[row[0]].top + words[row[0]].bottom) / 2 < rules[1].at for row in rows)
    for number, row in enumerate(rows):
        cells: dict[int, list[Word]] = defaultdict(list)
        for index in row:
            cells[bisect_right(xs, (words[index].left + words[index].right) / 2) - 1].append(words[index])
        texts = [_cell_text(cells[column]) for column in range(len(xs) - 1)]
        if grid and number < heads:
            grid[0] = [" ".join(filter(None, pair)) for pair in zip(grid[0], texts, strict=True)]
        else:
            grid.append(texts)
    filled = [cell for line in grid for cell in line if cell]
    if not filled or sum(map(len, filled)) / len(filled) > _MAX_MEAN_CELL_CHARS:
        return None
    return _table(grid, xs, top, bottom, inside)


def _is_filled(rules: Sequence[_Rule], rows: Sequence[Word]) -> bool:
    """Whether something stands between all neighbouring rules, but for the two of a double rule."""
    middles = [(row.top + row.bottom) / 2 for row in rows]
    return all(
        below.at - above.at <= 2 * _SNAP or any(above.at < middle < below.at for middle in middles)
        for above, below in pairwise(rules)
    )


def _word_rows(words: Sequence[Word], inside: Sequence[int]) -> list[list[int]]:
    rows: list[list[int]] = []
    for index in sorted(inside, key=lambda index: words[index].top + words[index].bottom):
        if rows and on_one_row(words[rows[-1][0]], words[index]):
            rows[-1].append(index)
        else:
            rows.append([index])
    for row in rows:
        row.sort(key=lambda index: words[index].left)
    return rows


def _gutters(words: Sequence[Word], rows: Sequence[Sequence[int]]) -> list[float]:
    """The middles of the gaps between columns: hardly any row has a word there."""
    space = 0.6 * median([words[index].bottom - words[index].top for row in rows for index in row])
    bounds: dict[int, int] = defaultdict(int)
    low = int(min(words[index].left for row in rows for index in row))
    for row in rows:
        # A row that spans columns, as a heading above several does, may cross a gap.
        for x in {x for index in row for x in range(int(words[index].left), int(words[index].right) + 1)}:
            bounds[x] += 1
    gutters, start = [], None
    for x in range(low, max(bounds) + 1):
        if bounds[x] <= len(rows) // 8:
            start = x if start is None else start
        elif start is not None:
            if x - start >= space:
                gutters.append((start + x) / 2)
            start = None
    return gutters


def _table(
    grid: list[list[str]], xs: Sequence[float], top: float, bottom: float, indexes: list[int]
) -> tuple[Segment, list[int]] | None:
    kept = [column for column in range(len(grid[0])) if any(row[column] for row in grid)]
    rows = [[row[column] for column in kept] for row in grid if any(row)]
    if not rows or len(kept) < 2 or max(len(cell) for row in rows for cell in row) > _MAX_CELL_CHARS:
        return None
    # A single row is a table only where it continues that of the page before.
    columns = tuple(round(xs[column]) for column in kept)
    return Segment(
        as_markdown(rows), xs[0], top, xs[-1], bottom, 0.0, table_columns=columns, table_rows=len(rows)
    ), sorted(indexes)


def _cell_text(words: Sequence[Word]) -> str:
    text, line, last = "", "", None
    join = Hyphenation(()).join
    for word in words:
        if last is not None and not on_one_row(last, word):
            text, line = join(text, line), ""
        line = f"{line} {word.text}" if line else word.text
        last = word
    return join(text, line)


def _clusters(values: Iterable[float]) -> list[float]:
    """The values in order; those nearer than the snap distance become one, their mean."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and value - groups[-1][-1] <= _SNAP:
            groups[-1].append(value)
        else:
            groups.append([value])
    return [sum(group) / len(group) for group in groups]


def _nearest(values: Sequence[float], value: float) -> float:
    index = bisect_right(values, value)
    return min(values[max(0, index - 1) : index + 1], key=lambda other: abs(other - value))

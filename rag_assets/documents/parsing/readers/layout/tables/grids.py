"""Tables whose rules meet: the grid that they draw, and the cells that no rule parts."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rag_assets.documents.parsing.readers.layout.geometry import Segment, Word, on_one_row
from rag_assets.documents.parsing.readers.layout.tables.cells import cell_text, make_table, text_lines
from rag_assets.documents.parsing.readers.layout.tables.rules import Rule, clusters, nearest

_MAX_CELLS = 20_000
_MIN_UNRULED_ROWS = 3
# In heights of a line: such a gap is no space between words.
_COLUMN_GAP = 1.0


def rule_grids(horizontal: list[Rule], vertical: list[Rule]) -> list[tuple[list[Rule], list[Rule]]]:
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
    groups: dict[int, tuple[list[Rule], list[Rule]]] = defaultdict(lambda: ([], []))
    for index, rule in enumerate([*horizontal, *vertical]):
        groups[root(index)][index >= len(horizontal)].append(rule)
    return [(rows, columns) for rows, columns in groups.values() if rows and columns and len(rows) + len(columns) >= 4]


def fill_grid(words: Sequence[Word], horizontal: list[Rule], vertical: list[Rule]) -> tuple[Segment, list[int]] | None:
    # Where the outer border is missing, the ends of the rules stand for it.
    xs = clusters([rule.at for rule in vertical] + [x for rule in horizontal for x in (rule.start, rule.end)])
    ys = clusters([rule.at for rule in horizontal] + [y for rule in vertical for y in (rule.start, rule.end)])
    columns, rows = len(xs) - 1, len(ys) - 1
    if columns < 2 or columns * rows > _MAX_CELLS:
        return None
    merged = _merge_cells(xs, ys, horizontal, vertical)
    cells: dict[int, list[int]] = defaultdict(list)
    for index, word in enumerate(words):
        x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
        if xs[0] <= x < xs[-1] and ys[0] <= y < ys[-1]:
            cells[merged[(bisect_right(ys, y) - 1) * columns + bisect_right(xs, x) - 1]].append(index)
    grid: list[list[str]] = []
    for row in range(rows):
        inside = [[words[index] for index in cells.get(row * columns + column, ())] for column in range(columns)]
        for column, cell in enumerate(inside):
            stop = column + 1
            while stop < columns and merged[row * columns + stop] == row * columns + column:
                stop += 1
            if stop - column > 1 and (parted := _part_by_columns(cell, xs[column : stop + 1])):
                inside[column:stop] = parted
        grid += (_unruled_rows(inside) if row else None) or [[cell_text(cell) for cell in inside]]
    return make_table(grid, xs, ys[0], ys[-1], [index for indexes in cells.values() for index in indexes])


def _part_by_columns(cell: Sequence[Word], xs: Sequence[float]) -> list[list[Word]] | None:
    """The words of a line that goes over several columns, if wide gaps between them agree with the columns."""
    if len(cell) < 2 or len(text_lines(cell)) != 1:
        return None
    parted: list[list[Word]] = [[] for _ in xs[1:]]
    for word in cell:
        column = bisect_right(xs, word.left) - 1
        if not (0 <= column < len(parted) and word.right <= xs[column + 1]):
            return None
        parted[column].append(word)
    parts = [part for part in parted if part]
    wide = all(
        right[0].left - left[-1].right >= _COLUMN_GAP * (left[-1].bottom - left[-1].top)
        for left, right in pairwise(parts)
    )
    return parted if len(parts) > 1 and wide else None


def _unruled_rows(cells: Sequence[Sequence[Word]]) -> list[list[str]] | None:
    """The rows of a band that rules do not part: all its cells have the same lines, and more than a wrapped text."""
    lines = [text_lines(cell) for cell in cells if cell]
    counts = {len(one) for one in lines}
    if len(lines) < 2 or len(counts) != 1 or min(counts) < _MIN_UNRULED_ROWS:
        return None
    if not all(on_one_row(row[0][0], other[0]) for row in zip(*lines, strict=True) for other in row[1:]):
        return None
    columns = [text_lines(cell) or [[]] * min(counts) for cell in cells]
    return [[cell_text(line) for line in row] for row in zip(*columns, strict=True)]


def _merge_cells(
    xs: Sequence[float], ys: Sequence[float], horizontal: Iterable[Rule], vertical: Iterable[Rule]
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


def _covered(lines: Sequence[float], across: Sequence[float], rules: Iterable[Rule]) -> set[tuple[int, int]]:
    """(line, interval of `across`) for each border of a cell that a rule draws."""
    covered = set()
    for rule in rules:
        line = lines.index(nearest(lines, rule.at))
        for interval, (start, end) in enumerate(pairwise(across)):
            if rule.start <= (start + end) / 2 <= rule.end:
                covered.add((line, interval))
    return covered

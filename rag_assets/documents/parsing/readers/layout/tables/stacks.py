"""Tables with rules between rows alone: their columns are the gaps that hardly any row crosses."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rag_assets.documents.parsing.readers.layout.geometry import Segment, Word, median, on_one_row
from rag_assets.documents.parsing.readers.layout.tables.cells import cell_text, make_table
from rag_assets.documents.parsing.readers.layout.tables.rules import SNAP, Rule, clusters, nearest

# The cells are short, and most rows have several; lines of prose in columns have neither.
_MAX_MEAN_CELL_CHARS = 32
_MIN_SHARE_OF_ROWS = 0.6
_MAX_HEAD_ROWS = 4


def rule_stacks(horizontal: Sequence[Rule]) -> Iterable[list[Rule]]:
    """Three or more rules of the same ends below each other: the rules of a table in a scientific paper."""
    starts, ends = clusters([rule.start for rule in horizontal]), clusters([rule.end for rule in horizontal])
    by_ends: dict[tuple[float, float], list[Rule]] = defaultdict(list)
    for rule in horizontal:
        by_ends[nearest(starts, rule.start), nearest(ends, rule.end)].append(rule)
    for rules in by_ends.values():
        if len(rules) >= 3:
            yield sorted(rules, key=lambda rule: rule.at)


def fill_stack(words: Sequence[Word], rules: Sequence[Rule]) -> tuple[Segment, list[int]] | None:
    top, bottom = rules[0].at, rules[-1].at
    left, right = rules[0].start - SNAP, rules[0].end + SNAP
    inside = [
        index
        for index, word in enumerate(words)
        if top <= (word.top + word.bottom) / 2 < bottom and left <= (word.left + word.right) / 2 <= right
    ]
    rows = _word_rows(words, inside)
    heads = sum((words[row[0]].top + words[row[0]].bottom) / 2 < rules[1].at for row in rows)
    if len(rows) < 2 or heads > _MAX_HEAD_ROWS or not _is_filled(rules, [words[row[0]] for row in rows]):
        return None
    xs = [left, *_gutters(words, rows), right]
    grid: list[list[str]] = []
    for number, row in enumerate(rows):
        cells: dict[int, list[Word]] = defaultdict(list)
        for index in row:
            cells[bisect_right(xs, (words[index].left + words[index].right) / 2) - 1].append(words[index])
        texts = [cell_text(cells[column]) for column in range(len(xs) - 1)]
        if grid and number < heads:
            grid[0] = [" ".join(filter(None, pair)) for pair in zip(grid[0], texts, strict=True)]
        else:
            grid.append(texts)
    filled = [cell for line in grid for cell in line if cell]
    several = sum(sum(map(bool, line)) > 1 for line in grid)
    if several < _MIN_SHARE_OF_ROWS * len(grid):
        return None
    if not filled or sum(map(len, filled)) / len(filled) > _MAX_MEAN_CELL_CHARS:
        return None
    return make_table(grid, xs, top, bottom, inside)


def _is_filled(rules: Sequence[Rule], rows: Sequence[Word]) -> bool:
    """Whether something stands between all neighbouring rules, but for the two of a double rule."""
    middles = [(row.top + row.bottom) / 2 for row in rows]
    return all(
        below.at - above.at <= 2 * SNAP or any(above.at < middle < below.at for middle in middles)
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

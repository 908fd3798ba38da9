"""The text of a table: of its cells, and of all in Markdown."""

from collections.abc import Sequence

from rag_assets.documents.parsing.readers.layout.geometry import Segment, Word, on_one_row
from rag_assets.documents.parsing.readers.layout.hyphenation import Hyphenation

# A cell with more is a part of the layout of the page.
_MAX_CELL_CHARS = 1200


def make_table(
    grid: list[list[str]], xs: Sequence[float], top: float, bottom: float, indexes: list[int]
) -> tuple[Segment, list[int]] | None:
    kept = [column for column in range(len(grid[0])) if any(row[column] for row in grid)]
    rows = [[row[column] for column in kept] for row in grid if any(row)]
    if not rows or len(kept) < 2 or max(len(cell) for row in rows for cell in row) > _MAX_CELL_CHARS:
        return None
    # A single row is a table only where it continues that of the page before.
    columns = tuple(round(xs[column]) for column in kept)
    return Segment(
        _as_markdown(rows), xs[0], top, xs[-1], bottom, 0.0, table_columns=columns, table_rows=len(rows)
    ), sorted(indexes)


def cell_text(words: Sequence[Word]) -> str:
    text = ""
    join = Hyphenation(()).join
    for line in text_lines(words):
        text = join(text, " ".join(word.text for word in line))
    return text


def text_lines(words: Sequence[Word]) -> list[list[Word]]:
    lines: list[list[Word]] = []
    for word in words:
        if lines and on_one_row(lines[-1][-1], word):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _as_markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])

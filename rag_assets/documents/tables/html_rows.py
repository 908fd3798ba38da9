"""Tables of HTML: Markdown's first row is a header, so a table without one gets an empty first row."""

import html
import re
from collections.abc import Iterator

from rag_assets.documents.tables.header_row import SAMPLE_ROWS, is_header

_TABLE = re.compile(r"<table\b", re.IGNORECASE)
_TABLE_END = re.compile(r"</table\b", re.IGNORECASE)
_ROW = re.compile(r"<tr\b[^>]*>", re.IGNORECASE)
_CELL = re.compile(r"<(t[hd])\b([^>]*)>", re.IGNORECASE)
_SPAN = re.compile(r"\bcolspan\s*=\s*[\"']?(\d{1,3})", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^>]*>")


def mark_nameless_tables(page: str) -> str:
    """The page with an empty row of header cells above each table whose first row is data.

    A first row of nothing but `<th>` is a header; of any other, the rows below decide. Tables that hold other tables
    lay out the page, and stay as they are.
    """
    if not _TABLE.search(page):
        return page
    parts, reached = [], 0
    for at, columns in _nameless_tables(page):
        parts += [page[reached:at], f"<tr>{'<th></th>' * columns}</tr>"]
        reached = at
    return "".join([*parts, page[reached:]])


def _nameless_tables(page: str) -> Iterator[tuple[int, int]]:
    """Where the first row of each table without a header begins, and how many columns it has."""
    starts = [match.start() for match in _TABLE.finditer(page)]
    for start, following in zip(starts, [*starts[1:], len(page)], strict=True):
        end = _TABLE_END.search(page, start, following)
        rows = []
        for row in _ROW.finditer(page, start, end.start() if end else start):
            rows.append(row)
            if len(rows) > SAMPLE_ROWS:
                break
        if len(rows) < 2:
            continue
        stop = end.start() if end else len(page)
        ends = [*(row.start() for row in rows[1:]), stop if len(rows) <= SAMPLE_ROWS else rows[-1].end()]
        sample = [page[row.end() : row_end] for row, row_end in zip(rows, ends, strict=True)]
        tags = {match[1].lower() for match in _CELL.finditer(sample[0])}
        first = _cells(sample[0])
        if len(first) > 1 and tags != {"th"} and not is_header(first, [_cells(row) for row in sample[1:]]):
            yield rows[0].start(), len(first)


def _cells(row: str) -> list[str]:
    """The text of each cell of a row; a cell over several columns is followed by empty ones."""
    found = list(_CELL.finditer(row))
    if not found:
        return []
    ends = [*(cell.start() for cell in found[1:]), len(row)]
    cells = []
    for cell, end in zip(found, ends, strict=True):
        cells.append(" ".join(html.unescape(_ANY_TAG.sub(" ", row[cell.end() : end])).split()))
        if span := _SPAN.search(cell[2]):
            cells += [""] * (int(span[1]) - 1)
    return cells

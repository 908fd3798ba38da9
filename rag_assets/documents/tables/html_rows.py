"""Tables of HTML, prepared for Markdown: its first row is a header, and a cell is in one row."""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rag_assets.documents.tables.header_row import SAMPLE_ROWS, is_header

_TABLE = re.compile(r"<table\b", re.IGNORECASE)
_TABLE_END = re.compile(r"</table\b", re.IGNORECASE)
_ROW = re.compile(r"<tr\b[^>]*>", re.IGNORECASE)
_ROW_END = re.compile(r"</(?:tr|thead|tbody|tfoot)\b|<(?:tbody|tfoot)\b", re.IGNORECASE)
_CELL = re.compile(r"<(t[hd])\b([^>]*)>", re.IGNORECASE)
_COLUMNS = re.compile(r"\bcolspan\s*=\s*[\"']?(\d{1,3})", re.IGNORECASE)
_ROWS = re.compile(r"\browspan\s*=\s*[\"']?(\d{1,4})", re.IGNORECASE)
_SPAN_NAMES = ("rowspan", "ROWSPAN", "rowSpan", "RowSpan")
_ROWS_ATTRIBUTE = re.compile(r"(<t[hd]\b[^>]*?\s)rowspan(?=\s*=)", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^>]*>")
# A copy of a cell is of its text, and of so much of it: a page may ask for thousands.
_MAX_COPIED_CHARS = 200
_MAX_SPANNED_COLUMNS = 100


class _Cell(NamedTuple):
    """A cell of a row; `start` is that of its tag. It takes `columns` and `rows`."""

    start: int
    tag: str
    text: str
    columns: int
    rows: int


def prepare_tables(page: str) -> str:
    """The page with each cell in all rows that it spans, and an empty row of header cells above each table of data.

    A first row of nothing but `<th>` is a header; of any other, the rows below decide. Tables that hold other tables
    lay out the page, and stay as they are.
    """
    if "<table" not in page and not _TABLE.search(page):
        return page
    # Looking for the word takes a hundredth of the time of the pattern.
    if any(name in page for name in _SPAN_NAMES) and _ROWS.search(page):
        copies = [copy for rows in _tables(page) for copy in _spanned_cells(page, rows)]
        page = _ROWS_ATTRIBUTE.sub(r"\1data-rows", _insert(page, copies)) if copies else page
    return _insert(page, (header for rows in _tables(page) for header in _empty_header(page, rows)))


def _insert(page: str, insertions: Iterable[tuple[int, str]]) -> str:
    parts, reached = [], 0
    for at, text in insertions:
        parts += [page[reached:at], text]
        reached = at
    return "".join([*parts, page[reached:]])


def _tables(page: str) -> Iterator[list[tuple[int, int]]]:
    """Start and end of each row, of each table that holds no other."""
    starts = list(_table_starts(page))
    for start, following in zip(starts, [*starts[1:], len(page)], strict=True):
        end = page.find("</table", start, following)
        if end < 0 and (match := _TABLE_END.search(page, start, following)):
            end = match.start()
        rows = [match.start() for match in _ROW.finditer(page, start, end)] if end >= 0 else []
        if rows:
            yield list(zip(rows, [*rows[1:], end], strict=True))


def _table_starts(page: str) -> Iterator[int]:
    if "<T" in page:
        yield from (match.start() for match in _TABLE.finditer(page))
        return
    # The pattern is tried at each tag.
    at = page.find("<table")
    while at >= 0:
        if not page[at + 6 : at + 7].isalnum():
            yield at
        at = page.find("<table", at + 6)


def _cells(page: str, start: int, end: int) -> Iterator[_Cell]:
    row_end = _ROW_END.search(page, start, end)
    stop = row_end.start() if row_end else end
    found = list(_CELL.finditer(page, start, stop))
    ends = [*(cell.start() for cell in found[1:]), stop]
    for cell, cell_end in zip(found, ends[: len(found)], strict=True):
        text = " ".join(html.unescape(_ANY_TAG.sub(" ", page[cell.end() : cell_end])).split())
        yield _Cell(cell.start(), cell[1].lower(), text, _number(_COLUMNS, cell[2]), _number(_ROWS, cell[2]))


def _number(attribute: re.Pattern[str], attributes: str) -> int:
    found = attribute.search(attributes)
    return max(1, int(found[1])) if found else 1


def _empty_header(page: str, rows: Sequence[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """An empty row of header cells above a first row of data."""
    if len(rows) < 2:
        return
    first = list(_cells(page, *rows[0]))
    width = sum(cell.columns for cell in first)
    if width < 2 or all(cell.tag == "th" for cell in first):
        return
    if not is_header(_texts(first), [_texts(_cells(page, *row)) for row in rows[1 : SAMPLE_ROWS + 1]]):
        yield rows[0][0], f"<tr>{'<th></th>' * width}</tr>"


def _texts(cells: Iterable[_Cell]) -> list[str]:
    """The texts of a row's cells; one over several columns is followed by empty ones."""
    return [text for cell in cells for text in (cell.text, *[""] * (cell.columns - 1))]


def _spanned_cells(page: str, rows: Sequence[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    """Copies of each cell that spans several rows, for the rows below its first."""
    # By column: the copy, how many columns it takes, and in how many rows it is missing.
    missing: dict[int, tuple[str, int, int]] = {}
    for start, end in rows:
        still: dict[int, tuple[str, int, int]] = {}
        column = 0
        for cell in _cells(page, start, end):
            while column in missing:
                copy, columns, times = missing.pop(column)
                yield cell.start, copy
                still |= {column: (copy, columns, times - 1)} if times > 1 else {}
                column += columns
            if cell.rows > 1 and column < _MAX_SPANNED_COLUMNS:
                text = html.escape(cell.text[:_MAX_COPIED_CHARS])
                still[column] = (
                    f'<{cell.tag} colspan="{cell.columns}">{text}</{cell.tag}>',
                    cell.columns,
                    cell.rows - 1,
                )
            column += cell.columns
        row_end = _ROW_END.search(page, start, end)
        for column, (copy, columns, times) in sorted(missing.items()):
            yield row_end.start() if row_end else end, copy
            still |= {column: (copy, columns, times - 1)} if times > 1 else {}
        missing = still

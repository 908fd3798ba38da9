"""Tables of OpenDocument texts and presentations: cells that are covered by others, or stand for several."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rag_assets.documents.parsing.readers.office.open_xml import open_text

_MAX_CHARS: Final = 200
# The last cell of a row may stand for all columns that a sheet can have, and a cell may hold other tables.
_MAX_COLUMNS: Final = 64
_MAX_CELL_CHARS: Final = 4000
_UNEVEN: Final = re.compile(rb"<table:covered-table-cell|<table:table-cell\b[^<>]*?\stable:number-columns-repeated=")
_PART: Final = re.compile(r"<(/?)table:(table|table-row|table-cell|covered-table-cell)(?=[\s/>])([^<>]*?)(/?)>")
_NUMBER: Final = re.compile(r"\stable:number-(columns-repeated|rows-spanned)=[\"'](\d{1,4})[\"']")


@dataclass(slots=True)
class _Table:
    """A table that is being read: the texts that go on in the rows below, by column, and for how many rows."""

    texts: dict[int, tuple[str, int]] = field(default_factory=dict)
    column: int = 0
    cell_start: int = 0
    cell: str = ""
    numbers: dict[str, int] = field(default_factory=dict)


def has_uneven_rows(xml: bytes) -> bool:
    return _UNEVEN.search(xml) is not None


def fill_covered_cells(xml: str) -> str:
    """The part with one cell in each column of each row: xberg leaves out covered cells, and the rest moves left.

    The text of a cell that spans several rows is in all of them.
    """
    pieces: list[str] = []
    at = 0
    for start, end, cells in _cells(xml):
        pieces += [xml[at:start], cells]
        at = end
    return "".join([*pieces, xml[at:]])


def _cells(xml: str) -> Iterator[tuple[int, int, str]]:
    """Where a covered or repeated cell stands, and what takes its place."""
    tables: list[_Table] = []
    for part in _PART.finditer(xml):
        closes, kind, is_empty = bool(part[1]), part[2], bool(part[4])
        if kind == "table":
            if closes and tables:
                tables.pop()
            elif not closes and not is_empty:
                tables.append(_Table())
            continue
        if not tables:
            continue
        table = tables[-1]
        if kind == "table-row":
            table.column = 0
            if closes:
                table.texts = {column: (text, rows - 1) for column, (text, rows) in table.texts.items() if rows > 1}
            continue
        if not closes:
            table.cell_start, table.cell = part.start(), kind
            table.numbers = {name: int(number) for name, number in _NUMBER.findall(part[3])}
        if closes or is_empty:
            yield from _replace(xml, table, part.end())


def _replace(xml: str, table: _Table, end: int) -> Iterator[tuple[int, int, str]]:
    start, left = table.cell_start, max(1, _MAX_COLUMNS - table.column)
    count = max(1, min(left, table.numbers.get("columns-repeated", 1)))
    columns = range(table.column, table.column + count)
    table.column += count
    if table.cell == "covered-table-cell":
        texts = [table.texts.get(column, ("", 0))[0] for column in columns]
        yield start, end, "".join(f"<table:table-cell><text:p>{text}</text:p></table:table-cell>" for text in texts)
        return
    if count > 1 and end - start <= _MAX_CELL_CHARS:
        yield end, end, xml[start:end] * (count - 1)
    rows = table.numbers.get("rows-spanned", 1)
    if rows > 1:
        text = open_text(xml[start : min(end, start + _MAX_CELL_CHARS)].rpartition(">")[0] + ">")
        if "&" not in text[_MAX_CHARS - 10 : _MAX_CHARS]:
            # One row more: this one ends first.
            table.texts.update(dict.fromkeys(columns, (text[:_MAX_CHARS], rows)))

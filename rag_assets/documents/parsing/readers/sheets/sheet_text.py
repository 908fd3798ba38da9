"""The sheets of a workbook as Markdown: a heading and a table for each, with its rows as they are shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rag_assets.documents.tables.header_row import SAMPLE_ROWS, find_header, group_names, is_header
from rag_assets.documents.tables.writing import columns_line, markdown_rows, pair_lines, unique_names

Row = list[str]
# Of a wider sheet most cells are empty, and a row of a Markdown table would be longer than a chunk.
_MAX_MARKDOWN_COLUMNS = 30
# Rows in which a header of several rows may begin.
_MAX_ROWS_ABOVE = 10


@dataclass(slots=True)
class Sheet:
    """One sheet; each cell is one line, and rows have no empty cells at their end.

    `row_numbers` are those in the file, from 0, to which the other fields refer: rows that are known to be headers,
    merged cells as (first row, first column, last row, last column), and comments by row and column.
    """

    name: str
    rows: list[Row]
    row_numbers: list[int] = field(default_factory=list)
    header_rows: set[int] = field(default_factory=set)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    comments: dict[tuple[int, int], str] = field(default_factory=dict)


def sheet_text(sheet: Sheet) -> str:
    """A heading with the sheet's name, then its tables; empty for a sheet without a value."""
    index_of = {number: index for index, number in enumerate(sheet.row_numbers)}
    groups = _fill_merged(sheet, index_of)
    known = {index_of[number] for number in sheet.header_rows if number in index_of}
    for (number, column), comment in sorted(sheet.comments.items()):
        _add_comment(sheet, index_of, number, column, comment)
    rows = sheet.rows
    parts = [
        part
        for start, stop in _blocks(rows, known)
        if (part := _block_text(rows[start:stop], _within(known, start, stop), _within(groups, start, stop)))
    ]
    return f"## {sheet.name}\n\n" + "\n\n".join(parts) + "\n" if parts else ""


def _within(rows: set[int], start: int, stop: int) -> set[int]:
    return {row - start for row in rows if start <= row < stop}


def _add_comment(sheet: Sheet, index_of: Mapping[int, int], number: int, column: int, comment: str) -> None:
    index = index_of.get(number)
    if index is None:
        sheet.rows.append([])
        index = len(sheet.rows) - 1
    row = sheet.rows[index]
    row.extend([""] * (column + 1 - len(row)))
    row[column] = f"{row[column]} [comment: {comment}]".strip()


def _fill_merged(sheet: Sheet, index_of: Mapping[int, int]) -> set[int]:
    """Give the value of a merged cell to each row and column that it labels; returns the rows that group columns.

    A title across the whole table labels none, and stays where it is.
    """
    groups: set[int] = set()
    for top, left, bottom, right in sheet.merged:
        first = index_of.get(top)
        if first is None or left >= len(sheet.rows[first]) or not (value := sheet.rows[first][left]):
            continue
        alone = sum(map(bool, sheet.rows[first])) == 1
        if right > left and not alone:
            groups.add(first)
        for number in range(top, bottom + 1):
            if (index := index_of.get(number)) is None:
                continue
            row = sheet.rows[index]
            stop = left + 1 if alone and right > left else right + 1
            row.extend([""] * (stop - len(row)))
            row[left:stop] = [value] * (stop - left) if number == top or bottom > top else row[left:stop]
    return groups


def _without_empty_columns(rows: list[Row]) -> list[Row]:
    width = max(map(len, rows), default=0)
    used = [False] * width
    left = width
    for row in rows:
        for index, cell in enumerate(row):
            if cell and not used[index]:
                used[index] = True
                left -= 1
        if not left:
            return rows
    kept = [index for index, is_used in enumerate(used) if is_used]
    return [[row[index] for index in kept if index < len(row)] for row in rows]


def _blocks(rows: Sequence[Row], known_headers: set[int]) -> Iterator[tuple[int, int]]:
    """The tables of a sheet, one below the other, as (first row, row behind the last)."""
    start = 0
    while start < len(rows):
        if not rows[start]:
            start += 1
            continue
        stop = start + 1
        while stop < len(rows) and (rows[stop] or not _ends_at(rows, start, stop, known_headers)):
            stop += 1
        yield start, stop
        start = stop


def _ends_at(rows: Sequence[Row], start: int, empty: int, known_headers: set[int]) -> bool:
    """Whether the table that begins at `start` ends at this empty row.

    It does above a second empty row and above another header; a sum or a note below an empty row belongs to it.
    """
    below = next((index for index in range(empty, len(rows)) if rows[index]), len(rows))
    if below - empty >= 2 or below == len(rows) or below in known_headers:
        return True
    following = rows[below : below + SAMPLE_ROWS]
    stop = next((index for index, row in enumerate(following) if not row), len(following))
    header = find_header(following[:stop])
    # Lines above a table are no table.
    return stop >= 2 and header.found and (header.first <= 1 or empty - start > 2)


def _block_text(rows: Sequence[Row], known_headers: set[int], groups: set[int]) -> str:
    header = _header(rows, known_headers, groups)
    preamble = [" ".join(filter(None, row)) for row in rows[: header.start]]
    parts = ["\n".join(filter(None, preamble))]
    [head, *body] = _without_empty_columns([header.names, *rows[header.body :]])
    width = max(map(len, [head, *body]))
    if width == 1 and not head:
        parts.append("\n".join(row[0] for row in body if row))
    elif width > _MAX_MARKDOWN_COLUMNS:
        parts.append((columns_line(head) if head else "") + "\n".join(pair_lines(head, body)))
    else:
        parts.append("\n".join(markdown_rows(head, body, width)))
    return "\n\n".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class _Header:
    """A table begins at the row `start`, and its rows of values at `body`; between them is what gives it its names."""

    start: int
    body: int
    names: Row


def _header(rows: Sequence[Row], known_headers: set[int], groups: set[int]) -> _Header:
    """Below rows that group columns by merged cells, the names are those of the group and of the column."""
    if known_headers:
        known = min(known_headers)
        return _Header(known, known + 1, unique_names(rows[known]))
    group = min(groups, default=_MAX_ROWS_ABOVE)
    if group < _MAX_ROWS_ABOVE:
        leaf = next((index for index in range(group, len(rows)) if index not in groups), len(rows))
        if leaf < len(rows) and is_header(rows[leaf], rows[leaf + 1 : leaf + 1 + SAMPLE_ROWS]):
            levels = zip_longest(*rows[group : leaf + 1], fillvalue="")
            names = unique_names([" ".join(dict.fromkeys(filter(None, parts))) for parts in levels])
            return _Header(group, leaf + 1, names)
    header = find_header(rows[:SAMPLE_ROWS])
    names = unique_names(rows[header.first]) if header.found else []
    if header.found and header.first and (grouped := group_names(rows[header.first - 1], rows[header.first])):
        return _Header(header.first - 1, header.first + 1, grouped)
    return _Header(header.first, header.first + header.found, names)

"""The sheets of a workbook as Markdown: a heading and a table for each, with its rows as they are shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rag_assets.documents.tables.header_row import SAMPLE_ROWS, find_header
from rag_assets.documents.tables.writing import columns_line, markdown_rows, one_line, pair_lines, unique_names

Row = list[str]
# Of a wide sheet, most cells are empty, and a row of a Markdown table is longer than a chunk.
_MAX_MARKDOWN_COLUMNS = 30


@dataclass(slots=True)
class Sheet:
    """One sheet. `header_row` is the index of a row that is known to name the columns.

    `merged` has (first row, first column, last row, last column) of merged cells.
    """

    name: str
    rows: list[Row]
    header_row: int | None = None
    merged: Sequence[tuple[int, int, int, int]] = ()
    notes: list[str] = field(default_factory=list)


def sheet_text(sheet: Sheet) -> str:
    """A heading with the sheet's name, then its tables; empty for a sheet without a value."""
    _fill_merged(sheet)
    parts = [part for block in _blocks(sheet) if (part := _block_text(*block))]
    parts += [one_line(note) for note in sheet.notes if note.strip()]
    if not parts:
        return ""
    return f"## {one_line(sheet.name)}\n\n" + "\n\n".join(parts) + "\n"


def _blocks(sheet: Sheet) -> Iterator[tuple[list[Row], int | None]]:
    """The tables of the sheet, one below the other: two empty rows, or an empty row and another width, part them."""
    start, rows = 0, sheet.rows
    while start < len(rows):
        if not any(rows[start]):
            start += 1
            continue
        stop = start + 1
        while stop < len(rows) and (any(rows[stop]) or not _ends_at(rows, start, stop)):
            stop += 1
        header = sheet.header_row
        yield rows[start:stop], header - start if header is not None and start <= header < stop else None
        start = stop


def _ends_at(rows: Sequence[Row], start: int, empty: int) -> bool:
    """Whether the table that begins at `start` ends at this empty row."""
    below = next((index for index in range(empty, len(rows)) if any(rows[index])), len(rows))
    if below - empty >= 2 or below == len(rows):
        return True
    # A table with another header below an empty row; a sum or a note below one belongs to the table above.
    following = rows[below : below + SAMPLE_ROWS]
    stop = next((index for index, row in enumerate(following) if not any(row)), len(following))
    header = find_header(following[:stop])
    return empty - start >= 2 and stop >= 2 and header.found and header.first <= 1


def _block_text(rows: list[Row], known_header: int | None) -> str:
    width = max((_last_filled(row) for row in rows), default=0)
    first_column = min((index for row in rows for index, cell in enumerate(row) if cell), default=0)
    if not width:
        return ""
    rows = [row[first_column:width] for row in rows]
    width -= first_column
    if known_header is not None:
        first, found = known_header, True
    else:
        header = find_header(rows[:SAMPLE_ROWS])
        first, found = header.first, header.found
    preamble = [" ".join(one_line(cell) for cell in row if cell) for row in rows[:first]]
    parts = ["\n".join(line for line in preamble if line)]
    names, body = (unique_names(rows[first]), rows[first + 1 :]) if found else ([], rows[first:])
    if width == 1 and not found:
        parts.append("\n".join(one_line(row[0]) for row in body if row and row[0]))
    elif width > _MAX_MARKDOWN_COLUMNS:
        parts.append((columns_line(names) if names else "") + "\n".join(pair_lines(names, body)))
    else:
        parts.append("\n".join(markdown_rows(names, body, width)))
    return "\n\n".join(part for part in parts if part)


def _fill_merged(sheet: Sheet) -> None:
    """Each cell of a merged range has its value where that labels a row or a column; a wide banner has it once."""
    for top, left, bottom, right in sheet.merged:
        if top >= len(sheet.rows) or left >= len(sheet.rows[top]):
            continue
        value = sheet.rows[top][left]
        if not value or (right > left and bottom > top):
            continue
        if bottom > top:
            for row in sheet.rows[top : bottom + 1]:
                row.extend([""] * (left + 1 - len(row)))
                row[left] = value


def _last_filled(row: Row) -> int:
    return next((index for index in range(len(row), 0, -1) if row[index - 1]), 0)

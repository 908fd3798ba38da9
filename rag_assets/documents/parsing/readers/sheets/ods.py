"""ODS: the cells of its sheets, whose shown text is in the file, with comments."""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from rag_assets.documents.parsing.readers.sheets.package import check_part_size, office_metadata
from rag_assets.documents.parsing.readers.sheets.sheet_text import Sheet
from rag_assets.documents.tables.writing import one_line

# Repetitions of an empty row or cell go to the end of the sheet; of a filled one, a few thousand are plausible.
_MAX_REPEATED = 10_000
_MAX_EMPTY_ROWS = 2
_MAX_COLUMNS = 16_384

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"


def read_ods(archive: ZipFile) -> tuple[str | None, list[Sheet], dict[str, Any]]:
    """The title, the sheets and the metadata of a workbook."""
    check_part_size(archive, "content.xml")
    sheets: list[Sheet] = []
    inside_header = False
    with archive.open("content.xml") as content:
        for event, element in ElementTree.iterparse(content, events=("start", "end")):  # noqa: S314
            if element.tag == _TABLE + "table-header-rows":
                inside_header = event == "start"
            elif element.tag == _TABLE + "table":
                if event == "start":
                    sheets.append(Sheet(element.get(_TABLE + "name", ""), []))
                else:
                    element.clear()
            elif event == "end" and element.tag == _TABLE + "table-row":
                if sheets:
                    _add_row(sheets[-1], element, is_header=inside_header)
                element.clear()
    title, metadata = office_metadata(archive, "meta.xml")
    return title, sheets, metadata | {"sheet_count": len(sheets), "sheet_names": [sheet.name for sheet in sheets]}


def _add_row(sheet: Sheet, row: Element, *, is_header: bool) -> None:
    number = sheet.row_numbers[-1] + 1 if sheet.row_numbers else 0
    repeated = int(row.get(_TABLE + "number-rows-repeated", 1))
    cells: list[str] = []
    comments: dict[tuple[int, int], str] = {}
    merged: list[tuple[int, int, int, int]] = []
    at = 0
    for cell in row:
        if cell.tag not in {_TABLE + "table-cell", _TABLE + "covered-table-cell"}:
            continue
        times = int(cell.get(_TABLE + "number-columns-repeated", 1))
        text = _shown(cell)
        if text:
            times = min(times, _MAX_COLUMNS - at)
            cells.extend([""] * (at - len(cells)))
            cells.extend([text] * times)
        columns, rows = (int(cell.get(f"{_TABLE}number-{name}-spanned", 1)) for name in ("columns", "rows"))
        if columns > 1 or rows > 1:
            merged.append((number, at, number + rows - 1, at + columns - 1))
        if comment := " ".join(_comments(cell)):
            comments[number, at] = comment
        at += times
        if at >= _MAX_COLUMNS:
            break
    repeated = min(repeated, _MAX_REPEATED if cells else _MAX_EMPTY_ROWS)
    if is_header and cells and not sheet.header_rows:
        sheet.header_rows.add(number)
    for index in range(repeated):
        sheet.rows.append(list(cells))
        sheet.row_numbers.append(number + index)
    sheet.merged = [*sheet.merged, *merged]
    sheet.comments = {**sheet.comments, **comments}


def _shown(cell: Element) -> str:
    paragraphs = ["".join(_pieces(part)) for part in cell if part.tag == _TEXT + "p"]
    if paragraphs:
        return one_line(" ".join(paragraphs))
    # Without a shown text, some programs write the value alone.
    names = ("string-value", "date-value", "time-value", "boolean-value", "value")
    return next((value for name in names if (value := cell.get(_OFFICE + name))), "")


def _pieces(part: Element) -> Iterator[str]:
    yield part.text or ""
    for child in part:
        if child.tag in {_TEXT + "s", _TEXT + "tab", _TEXT + "line-break"}:
            yield " "
        elif child.tag != _OFFICE + "annotation":
            yield from _pieces(child)
        yield child.tail or ""


def _comments(cell: Element) -> Iterator[str]:
    for note in cell.iter(_OFFICE + "annotation"):
        yield one_line(" ".join("".join(_pieces(part)) for part in note.iter(_TEXT + "p")))

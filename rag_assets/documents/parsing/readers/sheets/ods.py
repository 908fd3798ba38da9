"""ODS: the cells of its sheets, whose shown text is in the file, with comments."""

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from rag_assets.documents.parsing.readers.sheets.package import office_metadata, read_part
from rag_assets.documents.parsing.readers.sheets.sheet_text import Sheet
from rag_assets.documents.tables.writing import one_line

# Rows are parsed in blocks of so many bytes of XML: a tree of the whole file takes many times its size.
_BLOCK_BYTES = 1 << 16
# An empty row or cell is repeated to the end of the sheet; of a filled one, a few thousand are plausible.
_MAX_REPEATED = 10_000
_MAX_EMPTY_ROWS = 2
_MAX_COLUMNS = 16_384

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_CELL, _COVERED = f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"
_PARAGRAPH, _ANNOTATION = f"{_TEXT}p", f"{_OFFICE}annotation"
_COLUMNS_REPEATED = f"{_TABLE}number-columns-repeated"
_COLUMNS_SPANNED, _ROWS_SPANNED = f"{_TABLE}number-columns-spanned", f"{_TABLE}number-rows-spanned"
_BLANKS = frozenset({f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break"})
_VALUES = tuple(f"{_OFFICE}{name}" for name in ("string-value", "date-value", "time-value", "boolean-value", "value"))

_ROOT = re.compile(rb"<(?:\w+:)?document-content\b[^>]*>")
_NAMESPACE = re.compile(rb"""xmlns:\w+\s*=\s*(?:"[^"]*"|'[^']*')""")
_OPENED = re.compile(rb"<table:table\s[^>]*>")
# Elements around rows: their tags are dropped, so that any run of rows is well-formed.
_WRAPPER = re.compile(rb"</?table:table-(?:row-group|rows|header-rows)(?:\s[^>]*)?>")
_HEADER_ROWS = re.compile(rb"<(/?)table:table-header-rows(?:\s[^>]*)?>")
_ROW = re.compile(rb"<table:table-row[\s>/]")
_ROW_CLOSED = b"</table:table-row>"


def read_ods(archive: ZipFile) -> tuple[str | None, list[Sheet], dict[str, Any]]:
    """The title, the sheets and the metadata of a workbook."""
    data = read_part(archive, "content.xml")
    root = _ROOT.search(data)
    namespaces = b" ".join(_NAMESPACE.findall(root[0])) if root else b""
    sheets = []
    for opened in _OPENED.finditer(data):
        # The name is unescaped by the parser.
        table = ElementTree.fromstring(b"<x " + namespaces + b">" + opened[0].rstrip(b"/>") + b"/></x>")[0]  # noqa: S314
        sheet = Sheet(table.get(f"{_TABLE}name", ""), [])
        if not opened[0].endswith(b"/>"):
            stop = data.find(b"</table:table>", opened.end())
            for row, is_header in _rows(data, namespaces, opened.end(), stop):
                _add_row(sheet, row, is_header=is_header)
        sheets.append(sheet)
    title, metadata = office_metadata(archive, "meta.xml")
    return title, sheets, metadata | {"sheet_count": len(sheets), "sheet_names": [sheet.name for sheet in sheets]}


def _rows(data: bytes, namespaces: bytes, start: int, stop: int) -> Iterator[tuple[Element, bool]]:
    """The rows between these bytes, and whether the file says that they are headers."""
    header_start = header_end = start
    for tag in _HEADER_ROWS.finditer(data, start, stop):
        header_start, header_end = (header_start, tag.start()) if tag[1] else (tag.end(), header_end)
        if tag[1]:
            break
    first = _ROW.search(data, start, stop)
    at = first.start() if first else stop
    while at < stop:
        end = data.find(_ROW_CLOSED, at + _BLOCK_BYTES, stop)
        if at < header_end:
            end = header_end
        elif end >= 0:
            end += len(_ROW_CLOSED)
        else:
            end = stop
        rows = _WRAPPER.sub(b"", data[at:end])
        block = ElementTree.fromstring(b"<block " + namespaces + b">" + rows + b"</block>")  # noqa: S314
        for row in block:
            if row.tag == f"{_TABLE}table-row":
                yield row, header_start <= at < header_end
        at = end


def _add_row(sheet: Sheet, row: Element, *, is_header: bool) -> None:
    number = sheet.row_numbers[-1] + 1 if sheet.row_numbers else 0
    cells: list[str] = []
    at = 0
    for cell in row:
        if cell.tag != _CELL and cell.tag != _COVERED:
            continue
        found = cell.attrib
        times = int(found[_COLUMNS_REPEATED]) if _COLUMNS_REPEATED in found else 1
        if len(cell) == 1 and (only := cell[0]).tag == _PARAGRAPH and not len(only):
            text = one_line(only.text or "")
        elif not len(cell) and not found:
            text = ""
        else:
            text = _shown(cell)
            if comment := " ".join(_comments(cell)):
                sheet.comments[number, at] = comment
        if text:
            if len(cells) < at:
                cells.extend([""] * (at - len(cells)))
            if times == 1:
                cells.append(text)
            else:
                cells.extend([text] * min(times, _MAX_COLUMNS - at))
        if _COLUMNS_SPANNED in found or _ROWS_SPANNED in found:
            columns, rows = (int(found.get(name, 1)) for name in (_COLUMNS_SPANNED, _ROWS_SPANNED))
            if columns > 1 or rows > 1:
                sheet.merged.append((number, at, number + rows - 1, at + columns - 1))
        at += times
        if at >= _MAX_COLUMNS:
            break
    if is_header and cells and not sheet.header_rows:
        sheet.header_rows.add(number)
    repeated = min(int(row.get(f"{_TABLE}number-rows-repeated", 1)), _MAX_REPEATED if cells else _MAX_EMPTY_ROWS)
    for index in range(repeated):
        sheet.rows.append(list(cells))
        sheet.row_numbers.append(number + index)


def _shown(cell: Element) -> str:
    paragraphs = ["".join(_pieces(part)) for part in cell if part.tag == _PARAGRAPH]
    if paragraphs:
        return one_line(" ".join(paragraphs))
    # Without a shown text, some programs write the value alone.
    return next((value for name in _VALUES if (value := cell.get(name))), "")


def _pieces(part: Element) -> Iterator[str]:
    yield part.text or ""
    for child in part:
        if child.tag in _BLANKS:
            yield " "
        elif child.tag != _ANNOTATION:
            yield from _pieces(child)
        yield child.tail or ""


def _comments(cell: Element) -> Iterator[str]:
    for note in cell.iter(_ANNOTATION):
        yield one_line(" ".join("".join(_pieces(part)) for part in note.iter(_PARAGRAPH)))

"""XLS, the workbooks of Excel 97 to 2003: values as Excel shows them, with comments, by xlrd."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from rag_assets.documents.parsing.readers.sheets.sheet_text import Row, Sheet
from rag_assets.documents.tables.number_formats import number_formatter
from rag_assets.documents.tables.writing import one_line


def read_xls(data: bytes) -> tuple[None, list[Sheet], dict[str, Any]]:
    """The sheets and the metadata of a workbook; it has no title that xlrd reads."""
    import xlrd

    with xlrd.open_workbook(file_contents=data, formatting_info=True, logfile=io.StringIO()) as book:
        formatters = [_formatter(book, style) for style in book.xf_list]
        sheets = [_sheet(found, formatters) for found in book.sheets()]
        names = list(book.sheet_names())
    return None, sheets, {"sheet_count": len(sheets), "sheet_names": names}


def _formatter(book: Any, style: Any) -> Callable[[float], str]:
    found = book.format_map.get(style.format_key)
    return number_formatter(found.format_str if found else "General", epoch_1904=book.datemode == 1)


def _sheet(found: Any, formatters: list[Callable[[float], str]]) -> Sheet:
    sheet = Sheet(found.name + (" (hidden)" if found.visibility else ""), list(_rows(found, formatters)))
    sheet.row_numbers = list(range(len(sheet.rows)))
    sheet.merged = [(top, left, bottom - 1, right - 1) for top, bottom, left, right in found.merged_cells]
    sheet.comments = {place: one_line(note.text) for place, note in found.cell_note_map.items() if note.text.strip()}
    return sheet


def _rows(found: Any, formatters: list[Callable[[float], str]]) -> Iterator[Row]:
    import xlrd

    for index in range(found.nrows):
        row: Row = []
        for column, (kind, value) in enumerate(zip(found.row_types(index), found.row_values(index), strict=True)):
            match kind:
                case xlrd.XL_CELL_TEXT:
                    row.append(one_line(value))
                case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
                    row.append(formatters[found.cell_xf_index(index, column)](value))
                case xlrd.XL_CELL_BOOLEAN:
                    row.append("TRUE" if value else "FALSE")
                case xlrd.XL_CELL_ERROR:
                    row.append(xlrd.error_text_from_code.get(value, "#N/A"))
                case _:
                    row.append("")
        while row and not row[-1]:
            row.pop()
        yield row

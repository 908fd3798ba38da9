"""XLSX: the values of its sheets as Excel shows them, with comments. The library xberg has raw numbers only."""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from zipfile import ZipFile

from rag_assets.documents.parsing.readers.sheets.package import office_metadata, parse_part, read_part
from rag_assets.documents.parsing.readers.sheets.sheet_text import Sheet
from rag_assets.documents.tables.number_formats import BUILT_IN, general, number_formatter
from rag_assets.documents.tables.writing import one_line

# Rows are parsed in blocks of so many bytes of XML: a tree of the whole sheet takes many times its size.
_BLOCK_BYTES = 1 << 16
# An empty row parts two tables; more of them say nothing.
_MAX_EMPTY_ROWS = 2

_SHEET_DATA = re.compile(rb"<((?:\w+:)?)sheetData\s*(/?)>")
_ROOT = re.compile(rb"<(?:\w+:)?worksheet\b[^>]*>")
_NAMESPACE = re.compile(rb"""xmlns(?::\w+)?\s*=\s*(?:"[^"]*"|'[^']*')""")
_MERGED = re.compile(rb"""<(?:\w+:)?mergeCell\s[^>]*?ref\s*=\s*["']([A-Z]+)(\d+):([A-Z]+)(\d+)["']""")
_RANGE = re.compile(r"\$?([A-Z]+)\$?(\d+)(?::|$)")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_DIGITS = "0123456789"


@dataclass(slots=True)
class _Workbook:
    """What all sheets share: strings, and for each style the function that writes a number."""

    archive: ZipFile
    strings: list[str] = field(default_factory=list)
    formatters: list[Callable[[float], str]] = field(default_factory=list)


def read_xlsx(archive: ZipFile) -> tuple[str | None, list[Sheet], dict[str, Any]]:
    """The title, the sheets and the metadata of a workbook."""
    path = _office_document(archive)
    root = parse_part(archive, path)
    relations = _relations(archive, path)
    properties = next((one for one in root if _local(one) == "workbookPr"), None)
    epoch_1904 = properties is not None and properties.get("date1904", "0") in {"1", "true"}
    workbook = _Workbook(archive)
    for kind, target in relations.values():
        if kind == "sharedStrings":
            workbook.strings = [_string(item) for item in parse_part(archive, target)]
        elif kind == "styles":
            workbook.formatters = list(_formatters(parse_part(archive, target), epoch_1904=epoch_1904))
    sheets = []
    for one in root.iter():
        if _local(one) != "sheet":
            continue
        relation = next((value for name, value in one.items() if name.endswith("}id")), "")
        kind, target = relations.get(relation, ("", ""))
        if kind == "worksheet":
            hidden = " (hidden)" if one.get("state", "visible") != "visible" else ""
            sheets.append(_sheet(workbook, target, one.get("name", "") + hidden))
    title, metadata = office_metadata(archive, "docProps/core.xml")
    names = [sheet.name.removesuffix(" (hidden)") for sheet in sheets]
    return title, sheets, metadata | {"sheet_count": len(sheets), "sheet_names": names}


def _office_document(archive: ZipFile) -> str:
    found = [target for kind, target in _relations(archive, "").values() if kind == "officeDocument"]
    return found[0] if found else "xl/workbook.xml"


def _relations(archive: ZipFile, path: str) -> dict[str, tuple[str, str]]:
    """The parts that a part refers to: id to (kind, path)."""
    folder, name = posixpath.split(path)
    rels = posixpath.join(folder, "_rels", f"{name}.rels")
    if rels not in archive.namelist():
        return {}
    found = {}
    for one in parse_part(archive, rels):
        target = one.get("Target", "")
        full = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
        found[one.get("Id", "")] = (one.get("Type", "").rpartition("/")[2], full)
    return found


def _formatters(styles: Element, *, epoch_1904: bool) -> Iterator[Callable[[float], str]]:
    codes = dict(BUILT_IN)
    for one in styles.iter():
        match _local(one):
            case "numFmt":
                codes[int(one.get("numFmtId", "0"))] = one.get("formatCode", "General")
            case "cellXfs":
                for xf in one:
                    code = codes.get(int(xf.get("numFmtId", "0")), "General")
                    yield number_formatter(code, epoch_1904=epoch_1904)


def _sheet(workbook: _Workbook, path: str, name: str) -> Sheet:
    data = read_part(workbook.archive, path)
    sheet = Sheet(name, [])
    comments: dict[tuple[int, int], str] = {}
    for kind, target in _relations(workbook.archive, path).values():
        if kind == "table":
            table = parse_part(workbook.archive, target)
            if table.get("headerRowCount", "1") != "0" and (place := _RANGE.match(table.get("ref", ""))):
                sheet.header_rows.add(int(place[2]) - 1)
        elif kind in {"comments", "threadedComment"}:
            # A threaded comment is in both parts, in the older one with a remark about old versions of Excel.
            found = dict(_comments(parse_part(workbook.archive, target)))
            comments = comments | found if kind == "threadedComment" else found | comments
    opened = _SHEET_DATA.search(data)
    if opened is None:
        return sheet
    prefix, tail = opened[1], opened.end()
    if not opened[2]:
        tail = data.find(b"</" + prefix + b"sheetData>", opened.end())
        for number, row in _rows(workbook, data, opened, tail):
            # Very far down, a sheet may have a single cell.
            _extend(sheet, number)
            sheet.rows.append(row)
            sheet.row_numbers.append(number)
    sheet.merged = [
        (int(top) - 1, _column(left.decode()), int(bottom) - 1, _column(right.decode()))
        for left, top, right, bottom in _MERGED.findall(data, tail)
    ]
    sheet.comments = comments
    return sheet


def _extend(sheet: Sheet, number: int) -> None:
    last = sheet.row_numbers[-1] if sheet.row_numbers else -1
    for empty in range(last + 1, min(number, last + 1 + _MAX_EMPTY_ROWS)):
        sheet.rows.append([])
        sheet.row_numbers.append(empty)


def _rows(workbook: _Workbook, data: bytes, opened: re.Match[bytes], stop: int) -> Iterator[tuple[int, list[str]]]:
    """The number, from 0, and the cells of each row."""
    root = _ROOT.search(data)
    namespaces = b" ".join(_NAMESPACE.findall(root[0])) if root else b""
    close = b"</" + opened[1] + b"row>"
    at, number = opened.end(), -1
    while at < stop:
        end = data.find(close, at + _BLOCK_BYTES, stop)
        end = stop if end < 0 else end + len(close)
        block = ElementTree.fromstring(b"<block " + namespaces + b">" + data[at:end] + b"</block>")  # noqa: S314
        for row in block:
            number = int(row.get("r", number + 2)) - 1
            if cells := _cells(workbook, row):
                yield number, cells
        at = end


def _cells(workbook: _Workbook, row: Element) -> list[str]:
    strings, formatters = workbook.strings, workbook.formatters
    cells: list[str] = []
    at = 0
    for cell in row:
        reference = cell.get("r")
        if reference is not None:
            at = _column(reference.rstrip(_DIGITS))
        at += 1
        kind, text = cell.get("t", "n"), None
        for part in cell:
            if part.tag.endswith("}v"):
                text = part.text
            elif kind == "inlineStr" and part.tag.endswith("is"):
                text = _string(part)
        if not text:
            text = _formula(cell)
            if not text:
                continue
            kind = "str"
        if kind == "s":
            text = strings[int(text)]
        elif kind == "n":
            style = int(cell.get("s", 0))
            formatter = formatters[style] if style < len(formatters) else general
            if formatter is not general or not text.isdecimal():
                text = formatter(float(text))
        elif kind == "b":
            text = "TRUE" if text == "1" else "FALSE"
        elif kind == "str":
            text = _unescape(text)
        if len(cells) < at - 1:
            cells.extend([""] * (at - 1 - len(cells)))
        cells.append(text)
    return cells


def _formula(cell: Element) -> str:
    """The formula of a cell that no program has calculated yet."""
    return next((f"={part.text}" for part in cell if part.tag.endswith("}f") and part.text), "")


_columns: dict[str, int] = {}


def _column(letters: str) -> int:
    """The number of a column from 0: A is 0, AA is 26."""
    found = _columns.get(letters)
    if found is None:
        found = 0
        for letter in letters:
            found = found * 26 + ord(letter) - 64
        found = _columns[letters] = found - 1
    return found


def _string(item: Element) -> str:
    """The text of a shared or inline string, without the reading aid above Asian characters."""
    if len(item) == 1 and len(item[0]) == 0:
        return _unescape(item[0].text or "")
    parts = []
    for part in item:
        if _local(part) == "t":
            parts.append(part.text or "")
        elif _local(part) == "r":
            parts += [text.text or "" for text in part if _local(text) == "t"]
    return _unescape("".join(parts))


def _unescape(text: str) -> str:
    """One line of text; Excel writes characters that XML does not allow as `_x000D_`."""
    if "_x" in text:
        text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return one_line(text)


def _comments(part: Element) -> Iterator[tuple[tuple[int, int], str]]:
    """The comments of a sheet by row and column; answers to one follow it."""
    found: dict[str, list[str]] = {}
    for one in part.iter():
        if _local(one) in {"comment", "threadedComment"} and (reference := one.get("ref")):
            texts = [piece.text or "" for piece in one.iter() if _local(piece) in {"t", "text"}]
            found.setdefault(reference, []).append(_unescape("".join(texts)))
    for reference, comments in found.items():
        if place := _RANGE.match(reference):
            yield (int(place[2]) - 1, _column(place[1])), " / ".join(filter(None, comments))


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]

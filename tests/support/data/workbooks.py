"""Small workbooks: XLSX and ODS packages written by hand, with no more than a test needs."""

import io
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"

# A text, a number in the style with this index, or raw XML of a cell's inside.
Cell = str | float | tuple[float, int] | None
Rows = list[Sequence[Cell]]


def xlsx(
    sheets: Mapping[str, Sequence[Sequence[Cell]]],
    *,
    formats: Sequence[str] = (),
    tail: str = "",
    comments: Mapping[str, str] | None = None,
    thread: str = "",
    table: str = "",
    hidden: Sequence[str] = (),
    title: str = "",
) -> bytes:
    """A workbook; `formats` are the number formats of styles 1, 2 ….

    `tail` (XML below the rows), `comments`, `thread` (a part of threaded comments) and `table` (its range) are of the
    first sheet.
    """
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": _relations({"rId1": ("officeDocument", "xl/workbook.xml")}),
        "docProps/core.xml": f'<core xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></core>',
        "xl/styles.xml": _styles(formats),
    }
    targets = {"rId0": ("styles", "styles.xml")}
    listed = []
    for number, (name, rows) in enumerate(sheets.items(), start=1):
        state = ' state="hidden"' if name in hidden else ""
        listed.append(f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"{state}/>')
        targets[f"rId{number}"] = ("worksheet", f"/xl/worksheets/sheet{number}.xml")
        cells = "".join(_row(index, row) for index, row in enumerate(rows, start=1) if row)
        end = tail if number == 1 else ""
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheetData>{cells}</sheetData>{end}</worksheet>'
        )
    notes = "".join(
        f'<comment ref="{place}" authorId="0"><text><r><t>{escape(text)}</t></r></text></comment>'
        for place, text in (comments or {}).items()
    )
    beside = {
        "comments": f'<comments xmlns="{_MAIN}"><commentList>{notes}</commentList></comments>' if notes else "",
        "threadedComment": thread,
        "table": f'<table xmlns="{_MAIN}" ref="{table}"/>' if table else "",
    }
    used = {kind: content for kind, content in beside.items() if content}
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = _relations({kind: (kind, f"../{kind}1.xml") for kind in used})
    parts |= {f"xl/{kind}1.xml": content for kind, content in used.items()}
    parts["xl/workbook.xml"] = (
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>{"".join(listed)}</sheets></workbook>'
    )
    parts["xl/_rels/workbook.xml.rels"] = _relations(targets)
    return _package(parts)


def ods(tables: str) -> bytes:
    """A workbook with this XML inside of its spreadsheet."""
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("table", "office", "text")
    )
    body = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
    content = f"<office:document-content{names}>{body}</office:document-content>"
    return _package({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": content})


def _row(number: int, cells: Sequence[Cell]) -> str:
    return (
        f'<row r="{number}">'
        + "".join(_cell(f"{chr(65 + at)}{number}", cell) for at, cell in enumerate(cells))
        + "</row>"
    )


def _cell(place: str, cell: Cell) -> str:
    match cell:
        case None | "":
            return ""
        case str() if cell.startswith("="):
            return f'<c r="{place}"><f>{escape(cell[1:])}</f></c>'
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
        case (value, style):
            return f'<c r="{place}" s="{style}"><v>{value}</v></c>'
        case _:
            return f'<c r="{place}"><v>{cell}</v></c>'


def _styles(formats: Sequence[str]) -> str:
    codes = "".join(
        f'<numFmt numFmtId="{164 + index}" formatCode="{escape(code, {chr(34): "&quot;"})}"/>'
        for index, code in enumerate(formats)
    )
    styles = "".join(f'<xf numFmtId="{164 + index}"/>' for index in range(len(formats)))
    cells = f'<cellXfs><xf numFmtId="0"/>{styles}</cellXfs>'
    return f'<styleSheet xmlns="{_MAIN}"><numFmts>{codes}</numFmts>{cells}</styleSheet>'


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    found = "".join(
        f'<Relationship Id="{id_}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}">{found}</Relationships>'


def _package(parts: Mapping[str, str]) -> bytes:
    written = io.BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return written.getvalue()

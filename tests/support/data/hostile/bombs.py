"""Small files that ask for much: text, memory, depth or time."""

# Lines of markup, as they stand in such files.

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.support.data.hostile.packages import (
    changed,
    docx,
    epub,
    open_document,
    package,
    paragraph,
    parts_of,
)
from tests.support.data.pdf_file import Page, make_pdf, pdf_from_objects, pdf_stream
from tests.support.paths import FILES

_LEVELS = 10
_XML = '<?xml version="1.0"?>'


def _entities(root: str) -> str:
    nested = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, _LEVELS))
    return f'<!DOCTYPE {root} [<!ENTITY a0 "lol">{nested}]>'


def _quadratic(root: str) -> str:
    return f'<!DOCTYPE {root} [<!ENTITY a9 "{"x" * 50_000}">]>'


def entity_bombs() -> dict[str, Callable[[], bytes]]:
    """An entity of a billion characters (nested), and one of 50,000 that is named 2,000 times (quadratic)."""
    named = (("nested", _entities, "&a9;"), ("quadratic", _quadratic, "&a9;" * 2_000))
    return {f"{name}{kind}": make for name, declare, text in named for kind, make in _with_text(declare, text).items()}


def _with_text(declare: Callable[[str], str], text: str) -> dict[str, Callable[[], bytes]]:
    """A file of each kind of XML with this text, where `declare` gives the document type for a root."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = (
        f'{_XML}{declare("worksheet")}<worksheet xmlns="{space}"><sheetData><row r="1"><c r="A1" t="inlineStr"><is>'
        f"<t>{text}</t></is></c></row></sheetData></worksheet>"
    )
    strings = f'{_XML}{declare("sst")}<sst xmlns="{space}"><si><t>{text}</t></si></sst>'
    core = f'{_XML}{declare("p")}<p xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{text}</dc:title></p>'
    cell = f"<table:table><table:table-row><table:table-cell><text:p>{text}</text:p></table:table-cell>"
    return {
        ".docx": lambda: docx(paragraph(text), declare("w:document")),
        ".xlsx": lambda: changed("book.xlsx", {"xl/worksheets/sheet1.xml": sheet}),
        "-strings.xlsx": lambda: changed("book.xlsx", {"xl/sharedStrings.xml": strings}),
        "-title.xlsx": lambda: changed("book.xlsx", {"docProps/core.xml": core}),
        "-title.docx": lambda: changed("harbour.docx", {"docProps/core.xml": core}),
        ".pptx": lambda: changed("harbour.pptx", {"ppt/slides/slide1.xml": _slide(declare("p:sld"), text)}),
        ".odt": lambda: open_document("odt", f"<text:p>{text}</text:p>", declare("office:document-content")),
        ".ods": lambda: open_document("ods", f"{cell}</table:table-row></table:table>", declare("x")),
        ".epub": lambda: epub(f"<p>{text}</p>", declare("html")),
        ".svg": lambda: f"{_XML}{declare('svg')}<svg><text>{text}</text></svg>".encode(),
        ".xml": lambda: f"{_XML}{declare('x')}<x>{text}</x>".encode(),
        ".xhtml": lambda: f"{_XML}{declare('html')}<html><body><p>{text}</p></body></html>".encode(),
    }


def _slide(doctype: str, text: str) -> str:
    return (
        f'<?xml version="1.0"?>{doctype}<p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r>'
        f"<a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
    )


def nested_files(deep: int = 20_000) -> dict[str, Callable[[], bytes]]:
    """Files whose parts stand in one another, thousands deep."""
    return {
        "deep.html": lambda: b"<div>" * deep + b"words" + b"</div>" * deep,
        "deep-tables.html": lambda: b"<table><tr><td>" * 3_000 + b"words",
        "deep-lists.html": lambda: b"<ul><li>" * 5_000 + b"words",
        "deep.json": lambda: b"[" * deep + b'"words"' + b"]" * deep,
        "deep-objects.json": lambda: b'{"a":' * deep + b'"words"' + b"}" * deep,
        "deep.jsonl": lambda: (b"[" * deep + b'"words"' + b"]" * deep + b"\n") * 3,
        "deep.ipynb": lambda: (
            b'{"nbformat":4,"cells":[{"cell_type":"code","source":' + b"[" * deep + b"]" * deep + b"}]}"
        ),
        "deep.yaml": lambda: b"a: " + b"[" * deep,
        "front-matter.md": lambda: b"---\na: " + b"[" * deep + b"\n---\n\nwords\n",
        "aliases.md": lambda: (
            b"---\n"
            b"a0: &a0 [x]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12))
            + b"---\n\nwords\n"
        ),
        "toml.md": lambda: b"+++\na = " + b"[" * deep + b"\n+++\n\nwords\n",
        "deep-lists.md": lambda: "\n".join(" " * 2 * n + "- words" for n in range(1_500)).encode(),
        "deep-quotes.md": lambda: b">" * deep + b" words\n",
        "deep-brackets.md": lambda: b"[" * deep + b"words" + b"](x)" * deep,
        "deep-emphasis.md": lambda: b"*a **b " * deep,
        "deep-backticks.md": lambda: b" ".join(b"`" * n for n in range(1, 1_500)),
        "deep.rtf": lambda: rb"{\rtf1 words " + b"{" * deep + b"words" + b"}" * deep + b"}",
        "deep.docx": lambda: docx(
            "<w:tbl><w:tr><w:tc>" * 3_000 + paragraph("words") + "</w:tc></w:tr></w:tbl>" * 3_000
        ),
        "deep.odt": lambda: open_document(
            "odt", "<text:section>" * deep + "<text:p>words</text:p>" + "</text:section>" * deep
        ),
        "deep.ods": lambda: open_document("ods", "<table:table>" * deep + "</table:table>" * deep),
        "deep.epub": lambda: epub("<div>" * deep + "words" + "</div>" * deep),
        "deep.xlsx": lambda: changed(
            "book.xlsx",
            {
                "xl/worksheets/sheet1.xml": "<worksheet><sheetData>"
                + "<row>" * deep
                + "</row>" * deep
                + "</sheetData></worksheet>"
            },
        ),
        "deep.eml": lambda: nested_mail(1_000),
        "deep-parts.eml": lambda: nested_parts(1_000),
        "many-parts.eml": lambda: (
            b'Content-Type: multipart/mixed; boundary="x"\n\n'
            + b"--x\nContent-Type: text/plain\n\nw\n" * 20_000
            + b"--x--\n"
        ),
        "deep.mbox": lambda: b"From a@b Mon Jan  1 00:00:00 2024\n" + nested_mail(300),
        "deep.tex": lambda: b"\\title{" + b"{" * deep + b"words" + b"}" * deep + b"}\n",
        "deep.org": lambda: "\n".join("*" * n + " words" for n in range(1, 1_500)).encode(),
        "deep.ics": lambda: b"BEGIN:VCALENDAR\n" + b"BEGIN:VEVENT\nSUMMARY:w\n" * deep,
    }


def nested_mail(depth: int) -> bytes:
    return b"Subject: words\nContent-Type: message/rfc822\n\n" * depth + b"Subject: inner\n\ninnermost words\n"


def nested_parts(depth: int) -> bytes:
    head = b"Subject: words\n"
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth))
    return head + parts + b"Content-Type: text/plain\n\ninnermost words\n"


def unpacking_bombs(mb: int = 200) -> dict[str, Callable[[], bytes]]:
    """Packages that say other sizes than they have, hold a part twice, or unpack to far more than they are."""
    return {
        "bomb.docx": lambda: docx((paragraph("A" * 100_000)) * 10 * mb),
        "bomb-notes.docx": lambda: changed("harbour.docx", {"word/comments.xml": b" " * mb * 2_000_000}),
        "bomb.xlsx": lambda: changed("book.xlsx", {"xl/worksheets/sheet1.xml": b" " * mb * 2_000_000}),
        "bomb-strings.xlsx": lambda: changed(
            "book.xlsx", {"xl/sharedStrings.xml": b"<sst>" + b"<si><t>x</t></si>" * mb * 45_000}
        ),
        "far.xlsx": lambda: changed("book.xlsx", {"xl/worksheets/sheet1.xml": _far_sheet()}),
        "bomb.odt": lambda: open_document("odt", "<text:p>" + "A" * mb * 1_000_000 + "</text:p>"),
        "repeated.ods": _repeated_cells,
        "repeated-spaces.odt": lambda: open_document("odt", '<text:p>a<text:s text:c="2000000000"/>b</text:p>'),
        "bomb.epub": lambda: epub("<p>" + "A " * mb * 500_000 + "</p>"),
        "bomb.pptx": lambda: changed("harbour.pptx", {"ppt/slides/slide2.xml": _slide("", "A" * mb * 1_000_000)}),
        "lying-sizes.docx": lambda: _with_size(docx(paragraph("A" * 1_000_000) * mb), 1_000),
        "lying-sizes.xlsx": lambda: _with_size(
            changed("book.xlsx", {"xl/worksheets/sheet1.xml": b" " * mb * 2_000_000}), 1_000
        ),
        "huge-sizes.docx": lambda: _with_size(docx(paragraph("words")), 0xFFFFFFFE),
        "zip64.docx": lambda: _zip64(docx(paragraph("words"))),
        "twice.docx": _twice,
        "many-parts.docx": lambda: package(
            parts_of(FILES / "harbour.docx") | {f"word/media/{n}.xml": "<x/>" for n in range(10_000)}
        ),
        "many-parts.xlsx": lambda: package(
            parts_of(FILES / "book.xlsx") | {f"xl/x{n}.xml": "<x/>" for n in range(10_000)}
        ),
        "many-comments.docx": lambda: docx(
            "".join(f'<w:p><w:r><w:commentReference w:id="{n}"/></w:r></w:p>' for n in range(20_000))
        ),
        "overlapping.docx": _overlapping,
        "archive-in-archive.docx": lambda: package({"word/document.xml": package({"x": b"\0" * 10_000_000})}),
        "names.docx": lambda: package(
            parts_of(FILES / "harbour.docx") | {"../../up.txt": "x", "/etc/up": "x", "a" * 60_000: "x"}
        ),
    }


def _far_sheet() -> bytes:
    """Cells in the last column of the last row, and merged over all of them."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in (*range(1, 20_000), 1_048_576))
    merged = '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    return f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData>{merged}</worksheet>'.encode()


def _repeated_cells() -> bytes:
    cell = '<table:table-cell table:number-columns-repeated="1000000"><text:p>words</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="1000000">{cell}</table:table-row>'
    return open_document("ods", f'<table:table table:name="One">{row}</table:table>')


def _with_size(data: bytes, size: int) -> bytes:
    """The same package whose headers say another unpacked size of the large parts."""
    changed_ = bytearray(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    central = changed_.rfind(b"PK\x01\x02", 0, changed_.rfind(largest.filename.encode()))
    struct.pack_into("<I", changed_, central + 24, size)
    struct.pack_into("<I", changed_, largest.header_offset + 22, size)
    return bytes(changed_)


def _zip64(data: bytes) -> bytes:
    """All sizes of the largest part in an extra field of ZIP64, and enormous."""
    changed_ = bytearray(data)
    central = changed_.rfind(b"PK\x01\x02", 0, changed_.rfind(b"word/document.xml"))
    name, extra = struct.unpack_from("<HH", changed_, central + 28)
    struct.pack_into("<I", changed_, central + 24, 0xFFFFFFFF)
    field = struct.pack("<HHQ", 1, 8, 1 << 50)
    struct.pack_into("<H", changed_, central + 30, extra + len(field))
    at = central + 46 + name + extra
    changed_[at:at] = field
    end = changed_.rfind(b"PK\x05\x06")
    (size,) = struct.unpack_from("<I", changed_, end + 12)
    struct.pack_into("<I", changed_, end + 12, size + len(field))
    return bytes(changed_)


def _twice() -> bytes:
    import warnings

    written = io.BytesIO(docx(paragraph("words of the first part")))
    with zipfile.ZipFile(written, "a") as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.writestr(
            "word/document.xml", zipfile.ZipFile(io.BytesIO(docx(paragraph("other words")))).read("word/document.xml")
        )
    return written.getvalue()


def _overlapping() -> bytes:
    """Many entries of the directory that name the same packed bytes (as in Fifield's bomb, simplified)."""
    data = docx(paragraph("A" * 1_000_000) * 20)
    end = data.rfind(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", data, end + 12)
    directory = data[start : start + size]
    at = directory.find(b"word/document.xml") - 46
    name, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
    entry = directory[at : at + 46 + name + extra + comment]
    repeated = directory + entry * 2_000
    tail = bytearray(data[end:])
    count = min(65_535, struct.unpack_from("<H", tail, 8)[0] + 2_000)
    struct.pack_into("<HHI", tail, 8, count, count, len(repeated))
    return data[:start] + repeated + bytes(tail)


def hostile_pdfs() -> dict[str, Callable[[], bytes]]:
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    return {
        "circular.pdf": lambda: pdf_from_objects(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Count 2 /Kids [2 0 R 3 0 R] >>",
                b"<< /Type /Pages /Parent 2 0 R /Count 1 /Kids [2 0 R] >>",
                b"<< /Title (x) >>",
            ],
            1,
            4,
        ),
        "deep-tree.pdf": _deep_page_tree,
        "lying-count.pdf": lambda: make_pdf([Page().text(72, 100, "words")]).replace(b"/Count 1 ", b"/Count 99999999 "),
        "many-pages.pdf": lambda: pdf_from_objects(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Count 100000 /Kids [" + b"3 0 R " * 100_000 + b"] >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << >> >>",
                b"<< /Title (x) >>",
            ],
            1,
            4,
        ),
        "circular-bookmarks.pdf": lambda: pdf_from_objects(
            [
                b"<< /Type /Catalog /Pages 2 0 R /Outlines 5 0 R >>",
                b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
                b"<< /Title (x) >>",
                b"<< /First 6 0 R /Last 6 0 R /Count 2 >>",
                b"<< /Title (a) /Parent 5 0 R /Next 6 0 R /First 6 0 R /Dest [3 0 R /Fit] >>",
            ],
            1,
            4,
        ),
        "stream-bomb.pdf": lambda: pdf_from_objects(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Resources << /Font << /F1 "
                + font
                + b" >> >> >>",
                b"<< /Title (x) >>",
                pdf_stream(b"BT /F1 9 Tf (words) Tj ET " * 3_000_000),
            ],
            1,
            4,
        ),
        "circular-form.pdf": lambda: pdf_from_objects(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Resources 6 0 R >>",
                b"<< /Title (x) >>",
                pdf_stream(b"/X Do /X Do "),
                b"<< /XObject << /X 7 0 R >> >>",
                pdf_stream(b"/X Do /X Do ", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources 6 0 R"),
            ],
            1,
            4,
        ),
        "huge-page.pdf": lambda: make_pdf([Page().text(72, 100, "words")]).replace(
            b"[0 0 595 842]", b"[-1e30 -1e30 1e30 1e30]"
        ),
        "nan-matrix.pdf": lambda: make_pdf([Page().text(1e38, 1e38, "words", size=1e38)]),
    }


def _deep_page_tree() -> bytes:
    deep = 5_000
    objects = [b"<< /Type /Catalog /Pages 3 0 R >>", b"<< /Title (x) >>"]
    objects += [
        b"<< /Type /Pages /Count 1 /Kids [%d 0 R] %s >>" % (n + 4, b"/Parent %d 0 R" % (n + 2) if n else b"")
        for n in range(deep)
    ]
    objects.append(b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 595 842] >>" % (deep + 2))
    return pdf_from_objects(objects, 1, 2)


def images() -> dict[str, Callable[[], bytes]]:
    """Pictures that say they have 60,000 times 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10_000_000))
    return {
        "bomb.png": lambda: png + chunk(b"IEND", b""),
        "bomb-picture.pdf": lambda: make_pdf([Page().image(60_000, 60_000, b"\0" * 10_000_000)]),
    }


def lines(megabyte: int = 1_000_000) -> dict[str, Callable[[], bytes]]:
    """Text that is long in the wrong place; megabytes that readers by regular expressions could be slow for."""
    return {
        "blanks.html": lambda: b"<p>" + b" " * megabyte + b"words</p>",
        "tags.html": lambda: b"<" * megabyte,
        "comments.html": lambda: b"<!--" * (megabyte // 4),
        "attributes.html": lambda: b"<a " + b"a=b " * (megabyte // 4) + b">words",
        "quotes.csv": lambda: b'"' * megabyte,
        "commas.csv": lambda: b"," * megabyte,
        "quoted.csv": lambda: b'a,"' + b"x\n" * (megabyte // 2),
        "boundary.eml": lambda: b'Content-Type: multipart/mixed; boundary="x"\n\n' + b"--x" * (megabyte // 3),
        "header.eml": lambda: b"Subject: " + b"=?utf-8?q?a?= " * (megabyte // 14) + b"\n\nwords",
        "headers.eml": lambda: b"X-A: b\n" * (megabyte // 7) + b"\nwords",
        "folded.eml": lambda: b"Subject: a\n" + b" b\n" * (megabyte // 3) + b"\nwords",
        "addresses.eml": lambda: b"To: " + b"a@b, " * (megabyte // 5) + b"\n\nwords",
        "parameters.eml": lambda: b"Content-Type: text/plain; " + b"a=b; " * (megabyte // 5) + b"\n\nwords",
        "uuencode.eml": lambda: b"Subject: x\n\n" + b"begin 644 a\n" * (megabyte // 12),
        "base64.eml": lambda: b"Content-Transfer-Encoding: base64\n\n" + b"=" * megabyte,
        "numbers.json": lambda: b"[" + b"9" * megabyte + b"]",
        "escapes.json": lambda: b'"' + b"\\ud800" * (megabyte // 6) + b'"',
        "commas.json": lambda: b"[" + b"1," * (megabyte // 2),
        "quotes.json": lambda: b'{"a' * (megabyte // 3),
        "lines.ics": lambda: b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a\n" + b" b\n" * (megabyte // 3),
        "times.srt": lambda: b"1\n00:00:00,000 --> 00:00:01,000\n" * (megabyte // 32),
        "pipes.md": lambda: b"|" * megabyte,
        "table.md": lambda: b"|a" * 20_000 + b"|\n" + b"|-" * 20_000 + b"|\n" + b"|b" * 20_000 + b"|\n",
        "links.md": lambda: b"![" * (megabyte // 2),
        "underscores.md": lambda: b"_" * megabyte + b"a",
        "hashes.md": lambda: b"#" * megabyte,
        "braces.tex": lambda: b"\\section{" * (megabyte // 9),
        "controls.rtf": lambda: rb"{\rtf1 " + rb"\b" * (megabyte // 2) + b"}",
        "binary.rtf": lambda: rb"{\rtf1 \bin999999999 x}",
        "escapes.rtf": lambda: rb"{\rtf1 " + rb"\'e9" * (megabyte // 4) + b"}",
        "marks.txt": lambda: (
            "a\N{COMBINING ACUTE ACCENT}".encode() + "\N{COMBINING ACUTE ACCENT}".encode() * (megabyte // 2)
        ),
        "camel.txt": lambda: b"aB" * (megabyte // 2),
        "surrogates.txt": lambda: b"\xed\xa0\x80" * (megabyte // 3),
        "wide.txt": lambda: b"\xff\xfe" + b"\x00\xd8" * (megabyte // 2),
        "escape.txt": lambda: b"\x1b$B" * (megabyte // 3),
        "fields.adoc": lambda: b":a: b\n" * (megabyte // 6),
    }

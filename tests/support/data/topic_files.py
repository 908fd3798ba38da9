"""Python's documentation topics, written as files of many formats."""

import csv
import html
import io
import json
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path
from pydoc_data.topics import topics  # type: ignore[import-not-found,unused-ignore]
from xml.sax.saxutils import escape

from tests.support.data.pdf_file import Page, make_pdf
from tests.support.data.workbooks import xlsx
from tests.support.paths import FILES

_LINES_OF_A_PAGE = 52
_WORD_SPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def topic_files(folder: Path, most: int | None = None) -> Iterator[Path]:
    """Write one file of each format into the folder, with the first `most` topics."""
    texts: Mapping[str, str] = {name: str(text) for name, text in sorted(topics.items())[:most]}
    rows = [[name, *line.split()[:8]] for name, text in texts.items() for line in text.splitlines() if line.strip()]
    head = ["topic", *(f"word {number}" for number in range(1, 9))]
    for name, data in {
        "topics.txt": "\n\n".join(texts.values()).encode(),
        "topics.md": "\n\n".join(f"# {name}\n\n{text}" for name, text in texts.items()).encode(),
        "topics.html": _html(texts, "Topics"),
        "topics.csv": _csv(head, rows),
        "topics.json": json.dumps([{"topic": name, "text": text} for name, text in texts.items()]).encode(),
        "topics.jsonl": "\n".join(json.dumps({"topic": name, "text": text}) for name, text in texts.items()).encode(),
        "topics.ipynb": _notebook(texts),
        "topics.eml": _mail(texts),
        "topics.docx": _docx(texts),
        "topics.xlsx": xlsx({"Topics": [head, *rows]}),
        "topics.epub": _epub(texts),
        "topics.rtf": _rtf(texts),
        "topics.pdf": _pdf(texts),
    }.items():
        path = folder / name
        path.write_bytes(data)
        yield path


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _html(texts: Mapping[str, str], title: str) -> bytes:
    body = "".join(
        f"<h1>{html.escape(name)}</h1>" + "".join(f"<p>{html.escape(part)}</p>" for part in _paragraphs(text))
        for name, text in texts.items()
    )
    return f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>".encode()


def _csv(head: list[str], rows: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([head, *rows])
    return written.getvalue().encode()


def _notebook(texts: Mapping[str, str]) -> bytes:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": f"# {name}\n\n{text}"} for name, text in texts.items()]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def _mail(texts: Mapping[str, str]) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Topics", "a@example.org", "b@example.org"
    message.set_content("\n\n".join(texts.values()))
    return bytes(message)


def _docx(texts: Mapping[str, str]) -> bytes:
    """A copy of the Word fixture with other paragraphs."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{escape(name)}</w:t></w:r></w:p>'
        + "".join(f"<w:p><w:r><w:t>{escape(part)}</w:t></w:r></w:p>" for part in _paragraphs(text))
        for name, text in texts.items()
    )
    written = io.BytesIO()
    with (
        zipfile.ZipFile(FILES / "harbour.docx") as source,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            if name != "word/document.xml":
                target.writestr(name, source.read(name))
        document = f'<?xml version="1.0"?><w:document xmlns:w="{_WORD_SPACE}"><w:body>{body}</w:body></w:document>'
        target.writestr("word/document.xml", document)
    return written.getvalue()


def _epub(texts: Mapping[str, str]) -> bytes:
    chapters = {f"c{number}.xhtml": _html({name: text}, name) for number, (name, text) in enumerate(texts.items())}
    items = "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in chapters)
    spine = "".join(f'<itemref idref="{n}"/>' for n in chapters)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Topics</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="a.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr("META-INF/container.xml", container)
        book.writestr("a.opf", package)
        for name, chapter in chapters.items():
            book.writestr(name, chapter)
    return written.getvalue()


def _rtf(texts: Mapping[str, str]) -> bytes:
    lines = [part for text in texts.values() for part in _paragraphs(text)]
    escaped = (line.replace("\\", "\\\\").replace("{", "\\{").replace("}", "\\}") for line in lines)
    body = "\\par\n".join("".join(c if ord(c) < 128 else f"\\u{ord(c)}?" for c in line) for line in escaped)
    return ("{\\rtf1\\ansi " + body + "}").encode()


def _pdf(texts: Mapping[str, str]) -> bytes:
    lines = [
        (line, "F2" if index == 0 else "F1")
        for name, text in texts.items()
        for index, part in enumerate([name, *_paragraphs(text)])
        for line in textwrap.wrap(part, 90)
    ]
    pages: list[Page] = []
    for start in range(0, len(lines), _LINES_OF_A_PAGE):
        page = Page().text(50, 30, "Topics", 8).text(290, 820, str(len(pages) + 1), 8)
        for number, (line, font) in enumerate(lines[start : start + _LINES_OF_A_PAGE]):
            page.text(50, 70 + 13.5 * number, line.encode("cp1252", "replace").decode("cp1252"), 11, font)
        pages.append(page)
    return make_pdf(pages, title="Topics")

"""Slides and chapters are pages: the report tells where each begins."""

import io
import zipfile

import pytest

from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.parsing.readers.chapters import chapter_starts
from rag_assets.documents.parsing.readers.html_to_markdown import read_html
from tests.support.paths import FILES


@pytest.mark.parametrize(
    ("name", "beginnings"),
    [
        ("harbour.pptx", ["## The Harbour Guide", "## Arrival", "## Departure", "## Notes"]),
        ("harbour.epub", ["# The Harbour Guide", "# Arrival", "# Departure"]),
    ],
)
def test_slides_and_chapters_begin_at_their_headings(name: str, beginnings: list[str]) -> None:
    with DocumentParser(timeout_s=30) as parser:
        read = parser.parse(name, (FILES / name).read_bytes())
    starts = read.report.page_starts
    assert [read.content[start:].split("\n", 1)[0] for start in starts] == beginnings
    at = read.content.index("Leave before the tide")
    assert read.report.page_of(at, at + 5) == 3


def book(*chapters: str, spine: str | None = None) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="in/a.opf"/></rootfiles></container>',
        )
        items = "".join(f'<item id="c{n}" href="c%20{n}.xhtml"/>' for n, _ in enumerate(chapters))
        order = "".join(f'<itemref idref="c{n}"/>' for n, _ in enumerate(chapters)) if spine is None else spine
        file.writestr("in/a.opf", f"<package><manifest>{items}</manifest><spine>{order}</spine></package>")
        for number, text in enumerate(chapters):
            file.writestr(f"in/c {number}.xhtml", f"<html><head><title>no</title></head><body>{text}</body></html>")
    return written.getvalue()


def test_chapters_without_headings_are_found_by_their_first_words() -> None:
    data = book("<h1>One &amp; two</h1><p>text</p>", "<p>Same <b>words</b></p>", "<p>Same words, again</p>", "<img/>")
    content = "# One & two\n\ntext\n\nSame **words**\n\nSame words, again\n"
    starts = chapter_starts(data, content)
    assert [content[start:].split("\n", 1)[0] for start in starts] == [
        "# One & two",
        "Same **words**",
        "Same words, again",
    ]


@pytest.mark.parametrize("data", [b"PK no zip", book("<p>only</p>"), book("<p>a</p>", spine='<itemref idref="x"/>')])
def test_a_book_that_tells_no_chapters_has_none(data: bytes) -> None:
    assert chapter_starts(data, "only\n") == ()


def test_a_page_on_which_the_library_fails_is_read_all_the_same() -> None:
    page = b"<body><p>Harbour dues</p><code>--count [no] <h2>\n</h2></code><p>are paid in spring</p>"

    content = read_html(page).content
    assert "Harbour dues" in content
    assert "--count [no]" in content
    assert "are paid in spring" in content

"""A document without text, or nearly so, says why and what to do."""

import pytest

from rag_assets.documents.parsing import remarks
from rag_assets.documents.parsing.parse_report import ParseReport
from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.parsing.remarks import EMPTY_FILE, add_remarks

SCRIPTED = b"<html><head><title>App</title></head><body><script>" + b"x" * 2000 + b"</script><div id=root></div></body>"


@pytest.mark.parametrize(
    ("kind", "data", "content", "expected"),
    [
        ("text", b" \n", "", EMPTY_FILE),
        ("docx", b"PK", "", "no text was found in it; if it holds pictures of text, export it as a PDF"),
        ("xls", b"ole", "***", "no text was found in it; if it holds"),
        ("html", SCRIPTED, "", "no text was found in it; scripts fill the page"),
        ("html", SCRIPTED, "You need JavaScript.", "it has only 3 words of text; scripts fill the page"),
        ("pptx", bytes(300_000).replace(b"\0", b"x"), "Thanks", "it has only 1 word of text; if it holds pictures"),
    ],
)
def test_a_document_without_text_says_why(kind: str, data: bytes, content: str, expected: str) -> None:
    [note] = add_remarks(kind, data, content, ParseReport()).notes
    assert note.startswith(expected)


@pytest.mark.parametrize(
    ("kind", "data", "content"),
    [
        ("text", b"One.", "One."),
        ("html", b"<html><body><p>Three short words</p></body></html>", "Three short words"),
        ("csv", b"1;" * 200_000, "1;" * 200_000),
        ("pdf", bytes(300_000).replace(b"\0", b"x"), "word " * 30),
    ],
)
def test_a_short_text_alone_needs_no_remark(kind: str, data: bytes, content: str) -> None:
    assert add_remarks(kind, data, content, ParseReport()) == ParseReport()


def test_unread_pages_are_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    report = ParseReport(page_starts=(0,) * 12, unread_pages=(1, 2, 3, 7, 9, 10))
    monkeypatch.setattr(remarks, "recognition_version", lambda: None)
    assert add_remarks("pdf", b"%PDF", "", report).notes == (
        (
            "pages 1-3, 7, 9-10 of 12 have no text layer that can be read (a scan?); to have it recognised: "
            "pip install 'rag_assets[ocr]', then ingest again"
        ),
    )
    monkeypatch.setattr(remarks, "recognition_version", lambda: "3.10.0")
    [note] = add_remarks("pdf", b"%PDF", "", ParseReport(page_starts=(0,), unread_pages=(1,))).notes
    assert note.startswith("page 1 of 1 has no text layer that can be read (a scan?), and no text was recognised")
    # The cover of a book.
    assert add_remarks("pdf", b"%PDF", "word " * 30, report) == report


def test_a_reason_that_a_reader_gives_stands_alone() -> None:
    report = ParseReport(notes=("the attachment a.zip was not read",))
    assert add_remarks("email", b"From: a", "", report) == report


def test_every_way_of_reading_is_remarked_on() -> None:
    with DocumentParser(timeout_s=30) as parser:
        assert parser.parse("a.md", b"\n").report.notes == (EMPTY_FILE,)
        assert "no text was found" in parser.parse("b.md", b"---").report.notes[0]
        assert "scripts fill the page" in parser.parse("c.html", SCRIPTED).report.notes[0]

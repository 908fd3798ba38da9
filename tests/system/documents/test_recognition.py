"""Scans and pictures through the parser's own process, with the extra `ocr`."""

import io
from collections.abc import Iterator

import pytest

from rag_assets.documents.parsing.parser import DocumentParser
from tests.support.data.pdf_file import HEIGHT, WIDTH, Page, make_pdf
from tests.support.paths import FILES

pytest.importorskip("rapidocr", reason="the extra ocr is not installed")

LINES = ["The harbour master keeps a log", "of every ship that enters the bay."]
WORDS = {"The", "harbour", "master", "keeps", "log", "every", "ship", "enters"}


@pytest.fixture(scope="module")
def parser() -> Iterator[DocumentParser]:
    with DocumentParser(timeout_s=60) as parser:
        yield parser


def picture() -> tuple[int, int, bytes]:
    """A page with text, as the pixels of a scanner."""
    import pypdfium2

    page = pypdfium2.PdfDocument(make_pdf([Page().lines(50, 100, LINES, 14)]))[0]
    pixels = page.render(scale=2, grayscale=True)
    return pixels.width, pixels.height, bytes(pixels.to_numpy().tobytes())


def test_a_scanned_page_between_others_is_recognised(parser: DocumentParser) -> None:
    text = Page().lines(50, 60, ["The second page has letters of its own,", "so that nothing is recognised there."])
    read = parser.parse("scan.pdf", make_pdf([Page().image(*picture()).text(50, 30, "RECEIVED"), text]))
    assert set(read.content.split()) >= WORDS | {"RECEIVED", "letters"}
    assert (read.report.recognised_pages, read.report.unread_pages, read.report.notes) == ((1,), (), ())
    assert read.metadata["recognised_pages"] == [1]
    at = read.content.index("harbour")
    assert read.report.page_of(at, at + 7) == 1
    assert "+ocr-" in read.reader_version("scan.pdf")


def test_a_scan_without_letters_is_empty_with_a_note(parser: DocumentParser) -> None:
    read = parser.parse("scan.pdf", (FILES / "scanned.pdf").read_bytes())
    assert (read.content, read.title) == ("", None)
    assert "no text layer" in read.metadata["note"]


def test_a_picture_is_a_document(parser: DocumentParser) -> None:
    from PIL import Image

    width, height, pixels = picture()
    assert (width, height) == (2 * WIDTH, 2 * HEIGHT)
    written = io.BytesIO()
    Image.frombytes("L", (width, height), pixels).save(written, "PNG")
    read = parser.parse("photo.png", written.getvalue())
    assert set(read.content.split()) >= WORDS
    assert read.file_type == "image"


def test_a_picture_that_lies_on_its_side_is_read_in_its_order(parser: DocumentParser) -> None:
    from PIL import Image

    width, height, pixels = picture()
    written = io.BytesIO()
    Image.frombytes("L", (width, height), pixels).rotate(90, expand=True).save(written, "PNG")
    content = parser.parse("fax.png", written.getvalue()).content
    assert 0 < content.find("harbour") < content.find("every ship")


def test_a_page_without_letters_stays_unread(parser: DocumentParser) -> None:
    read = parser.parse("blank.pdf", make_pdf([Page().image(200, 280, bytes([200]) * 200 * 280)]))
    assert (read.content, read.report.unread_pages) == ("", (1,))
    assert "no text was recognised" in read.report.notes[0]

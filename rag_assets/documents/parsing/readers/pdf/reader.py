"""A PDF as Markdown: PDFium's characters in reading order, with headings, tables and the place of each page."""

from collections.abc import Sequence
from typing import Any

from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.layout.assembly import assemble
from rag_assets.documents.parsing.readers.layout.headings import Bookmark
from rag_assets.documents.parsing.readers.layout.reading_order import reading_order
from rag_assets.documents.parsing.readers.layout.running_lines import remove_running_lines
from rag_assets.documents.parsing.readers.pdf.information import read_information
from rag_assets.documents.parsing.readers.pdf.page import SMALL_PICTURE, ReadPage, read_page
from rag_assets.documents.parsing.readers.pictures.recognition import recognise_page
from rag_assets.documents.versions import recognition_version
from rag_assets.errors import DocumentError


def read_pdf(data: bytes) -> ConvertedDocument:
    """Raises DocumentError with the reason."""
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}:
            raise DocumentError("it is protected by a password; store it without one, or exclude it") from None
        return _read_damaged(data)
    if document.get_formtype():
        document.init_forms()
    forms = document.formenv
    pages = [read_page(document, number, forms) for number in range(len(document))]
    segments = [page.segments for page in pages]
    remove_running_lines(segments, [page.box for page in pages])
    # In a document without any text, small pictures count too.
    smallest = SMALL_PICTURE if any(segments) else 0.0
    pictures = [number for number, page in enumerate(pages) if page.is_picture(smallest)]
    recognised = _recognise(document, pages, pictures)
    content, starts = assemble([reading_order(page.segments) for page in pages], _bookmarks(document))
    title, metadata = read_information(document)
    report = ParseReport(
        page_starts=starts,
        recognised_pages=tuple(number + 1 for number in recognised),
        unread_pages=tuple(number + 1 for number in pictures if number not in recognised),
    )
    if report.recognised_pages:
        metadata["recognised_pages"] = list(report.recognised_pages)
    if report.unread_pages and not content.strip():
        metadata["note"] = "no text layer (scanned pages?)"
    return ConvertedDocument(title, content, metadata, report)


def _read_damaged(data: bytes) -> ConvertedDocument:
    """xberg reads some files that PDFium refuses."""
    from rag_assets.documents.parsing.readers.xberg import read_document

    return read_document(data, "pdf")


def _recognise(document: Any, pages: Sequence[ReadPage], pictures: Sequence[int]) -> list[int]:
    """Read the pages that are pictures, where the extra `ocr` is installed; the pages on which text was found."""
    if not pictures or recognition_version() is None:
        return []
    found = []
    for number in pictures:
        page = document[number]
        segments = recognise_page(page)
        page.close()
        if segments:
            pages[number].segments.extend(segments)
            found.append(number)
    return found


def _bookmarks(document: Any) -> list[Bookmark]:
    found = []
    for bookmark in document.get_toc(max_depth=6):
        dest = bookmark.get_dest()
        page = dest.get_index() if dest else None
        if page is not None:
            found.append(Bookmark(bookmark.get_title(), bookmark.level, page))
    return found

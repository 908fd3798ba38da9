"""The document library xberg, configured to parse only: no OCR, no models, no cache, no network."""

import asyncio
import functools
import json
import re
from itertools import accumulate
from typing import Any

from rag_assets.documents.parsing.parse_report import ConvertedDocument, ParseReport
from rag_assets.documents.parsing.readers.chapters import chapter_starts
from rag_assets.documents.parsing.readers.office import complete_document
from rag_assets.documents.parsing.readers.office.archive import Archive
from rag_assets.errors import DocumentError

MIME_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "xls": "application/vnd.ms-excel",
    "odt": "application/vnd.oasis.opendocument.text",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "rtf": "application/rtf",
    "epub": "application/epub+zip",
    "msg": "application/vnd.ms-outlook",
}
# xberg escapes characters that could be Markdown; a search for "a > b" or "AT&T" must find them.
_NEEDLESS_ESCAPE = re.compile(r"(?<!\\)\\([<>&!])|(?<=\d)\\\.")
# A link to a bookmark of the same file, as in a table of contents; Word makes up the names.
_BOOKMARK_LINK = re.compile(r"(?<!!)\[([^\[\]\n]{1,2000})\]\(#_[^)\s]*\)")
# The anchors of headings, lines of code and footnotes.
_EMPTY_LINK = re.compile(r"(?<!!)\[\s*\]\(#[^)\s]*\)")
# The words of an image stay; its address, which may be the image itself in base64, goes.
_IMAGE = re.compile(r"!\[([^\]]{0,2000})\]\([^)\s]*(?:\s+\"[^\"]{0,2000}\")?\)")
_DATA_LINK = re.compile(r"\[([^\]]{0,2000})\]\(data:[^)]*\)")
# Titles and authors that programs fill in by default.
_PLACEHOLDERS = frozenset(
    {"untitled", "unspecified", "anonymous", "no title", "unknown title", "powerpoint presentation", "python-docx"}
    | {"openpyxl"}
)
_MAX_TABLE_CELLS = 10_000_000
_METADATA_FIELDS = ("subject", "language", "keywords", "created_at", "modified_at")
_FORMAT_FIELDS = ("page_count", "slide_count", "sheet_count", "sheet_names")


def read_document(data: bytes, kind: str, archive: Archive | None = None) -> ConvertedDocument:
    """The Markdown of a PDF, an Office document or a book. Raises DocumentError with the library's reason.

    `archive` is that of the data, where it was opened before.
    """
    document = _convert(complete_document(data, kind, archive), MIME_TYPES[kind], has_pages=kind == "pptx")
    converted = _converted(document, document.content)
    if kind == "pptx" and document.pages:
        parts = [_unescape(_converted(document, page.content).content).strip("\n") for page in document.pages]
        starts = [0, *accumulate(len(part) + 2 if part else 0 for part in parts[:-1])]
        content = "\n\n".join(filter(None, parts)) + "\n"
        report = ParseReport(page_starts=tuple(min(start, len(content)) for start in starts))
    else:
        content = _unescape(converted.content)
        report = ParseReport(page_starts=chapter_starts(data, content) if kind == "epub" else ())
    return ConvertedDocument(converted.title, content, converted.metadata, report)


def convert_to_markdown(data: bytes, mime_type: str) -> ConvertedDocument:
    document = _convert(data, mime_type)
    return _converted(document, document.content)


def _convert(data: bytes, mime_type: str, *, has_pages: bool = False) -> Any:
    import xberg

    source = xberg.ExtractInput(kind=xberg.ExtractInputKind.BYTES, bytes=data, mime_type=mime_type)
    try:
        result = _loop().run_until_complete(_extract(source, _config(has_pages)))
    except (RuntimeError, ValueError, OSError) as error:
        raise DocumentError(_reason(error)) from error
    if not result.results:
        reason = "; ".join(error.message for error in result.errors) or "it found no document in it"
        raise DocumentError(_reason(reason))
    return result.results[0]


def _unescape(content: str) -> str:
    # Looking for what they begin with takes a tenth of the time of these patterns.
    if "](#_" in content:
        content = _BOOKMARK_LINK.sub(r"\1", content)
    return _NEEDLESS_ESCAPE.sub(lambda match: match[1] or ".", content) if "\\" in content else content


def _converted(document: Any, content: str) -> ConvertedDocument:
    if "](#" in content:
        content = _EMPTY_LINK.sub("", content)
    if "![" in content:
        content = _IMAGE.sub(r"\1", content)
    if "](data:" in content:
        content = _DATA_LINK.sub(r"\1", content)
    title = document.metadata.title or ""
    return ConvertedDocument(title if is_filled_in(title) else None, content, _metadata(document.metadata))


async def _extract(source: Any, config: Any) -> Any:
    import xberg

    return await xberg.extract(source, config)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@functools.cache
def _config(has_pages: bool = False) -> Any:
    """What xberg does; `has_pages` for the slides of a presentation.

    xberg converts it for each document. With members of enumerations in place of their names, also where they are the
    default, that takes a quarter of the time: 0.07 of the 0.25 ms that the shortest document took.
    """
    import xberg

    return xberg.ExtractionConfig(
        mime_detection_policy=xberg.MimeDetectionPolicy.PREFER_CONTENT,
        use_cache=False,
        enable_quality_processing=False,
        disable_ocr=True,
        result_format=xberg.ResultFormat.UNIFIED,
        output_format="markdown",
        escape_markdown=False,
        jupyter_cell_rendering=xberg.JupyterCellRendering.BOTH,
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
        # Memory and time have limits of their own here, and a page or a report may hold a long table.
        security_limits=xberg.SecurityLimits(max_table_cells=_MAX_TABLE_CELLS),
        pages=xberg.PageConfig(extract_pages=True) if has_pages else None,
        # xberg's table detection takes headings and lists of a PDF for tables.
        pdf_options=xberg.PdfConfig(extract_tables=False, backend=xberg.PdfBackend.NATIVE),
        html_options=xberg.ConversionOptions(
            extract_metadata=False,
            # xberg's clean-up removes a page's <header>, and with it the title that many pages have only there.
            preprocessing=xberg.PreprocessingOptions(enabled=False, preset=xberg.PreprocessingPreset.STANDARD),
            heading_style=xberg.HeadingStyle.ATX,
            list_indent_type=xberg.ListIndentType.SPACES,
            highlight_style=xberg.HighlightStyle.DOUBLE_EQUAL,
            whitespace_mode=xberg.WhitespaceMode.NORMALIZED,
            newline_style=xberg.NewlineStyle.SPACES,
            code_block_style=xberg.CodeBlockStyle.BACKTICKS,
            inline_data_media=xberg.InlineDataMedia.KEEP,
            url_escape_style=xberg.UrlEscapeStyle.ANGLE,
            link_style=xberg.LinkStyle.INLINE,
            output_format=xberg.HtmlToMarkdownRsOutputFormat.MARKDOWN,
            tier_strategy=xberg.TierStrategy.AUTO,
        ),
    )


def _metadata(found: Any) -> dict[str, Any]:
    metadata = {name: value for name in _METADATA_FIELDS if is_filled_in(value := getattr(found, name, None))}
    if authors := ", ".join(str(author) for author in found.authors or () if is_filled_in(author)):
        metadata["author"] = authors
    # The fields of a format come as JSON.
    details = json.loads(str(found.format)) if found.format is not None else {}
    metadata |= {name: value for name in _FORMAT_FIELDS if (value := details.get(name))}
    return metadata


def is_filled_in(value: object) -> bool:
    return bool(value) and str(value).strip(" ()").lower() not in _PLACEHOLDERS


def _reason(error: object) -> str:
    message = " ".join(str(error).split())[:300]
    if "password" in message.lower():
        return "it is protected by a password; store it without one, or exclude it"
    return f"the parser refused it: {message}"

"""The document library (xberg), set up to read and nothing else: no OCR, no models, no cache, no network."""

import asyncio
import functools
import json
import re
from dataclasses import dataclass
from typing import Any

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
# The library escapes what could be Markdown; a search for "a > b" or "AT&T" must find it.
_NEEDLESS_ESCAPE = re.compile(r"(?<!\\)\\([<>&!])|(?<=\d)\\\.")
_EMPTY_LINK = re.compile(r"(?<!!)\[\s*\]\(#[^)\s]*\)")
_KEPT = ("subject", "language", "keywords", "created_at", "modified_at")
_KEPT_OF_FORMAT = ("page_count", "slide_count", "sheet_count", "sheet_names")


@dataclass(frozen=True, slots=True)
class Converted:
    title: str | None
    content: str
    metadata: dict[str, Any]


def read_document(data: bytes, kind: str) -> Converted:
    """The Markdown of a PDF, an Office document, a book. Raises DocumentError with the library's reason."""
    converted = convert(data, MIME_TYPES[kind])
    content = _NEEDLESS_ESCAPE.sub(lambda match: match[1] or ".", _EMPTY_LINK.sub("", converted.content))
    if kind == "pdf" and not content.strip():
        # No OCR here: it is slow, needs models, and guesses.
        return Converted(converted.title, "", converted.metadata | {"note": "no text layer (scanned pages?)"})
    return Converted(converted.title, content, converted.metadata)


def convert(data: bytes, mime_type: str) -> Converted:
    import xberg

    source = xberg.ExtractInput(kind=xberg.ExtractInputKind.BYTES, bytes=data, mime_type=mime_type)
    try:
        result = _loop().run_until_complete(_extract(source))
    except (RuntimeError, ValueError, OSError) as error:
        raise DocumentError(f"the parser refused it: {_short(error)}") from error
    if not result.results:
        reason = "; ".join(error.message for error in result.errors) or "it found no document in it"
        raise DocumentError(f"the parser refused it: {_short(reason)}")
    document = result.results[0]
    return Converted(document.metadata.title, document.content, _metadata(document.metadata))


async def _extract(source: Any) -> Any:
    import xberg

    return await xberg.extract(source, _config())


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@functools.cache
def _config() -> Any:
    import xberg

    return xberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        disable_ocr=True,
        output_format="markdown",
        escape_markdown=False,
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
        # Its table finder takes headings and lists of a PDF for tables; without it they stay what they are.
        pdf_options=xberg.PdfConfig(extract_tables=False),
        # Its clean-up takes a page's <header> away, and with it the title that many pages have only there.
        html_options=xberg.ConversionOptions(
            extract_metadata=False, preprocessing=xberg.PreprocessingOptions(enabled=False)
        ),
    )


def _metadata(found: Any) -> dict[str, Any]:
    metadata = {name: value for name in _KEPT if (value := getattr(found, name, None))}
    if found.authors:
        metadata["author"] = ", ".join(map(str, found.authors))
    # What belongs to one format comes as JSON.
    details = json.loads(str(found.format)) if found.format is not None else {}
    metadata |= {name: value for name in _KEPT_OF_FORMAT if (value := details.get(name))}
    return metadata


def _short(reason: object) -> str:
    return " ".join(str(reason).split())[:300]

"""What people should know of a document that ended without text, or nearly so: one rule for all types."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from rag_assets.documents.parsing.file_types import VERBATIM
from rag_assets.documents.parsing.parse_report import ParseReport
from rag_assets.documents.versions import recognition_version

EMPTY_FILE = "the file is empty"

_WORD = re.compile(r"[^\W_]+")
# Fewer words than this are hardly a text: of a file with so many bytes, or of a page that scripts fill.
_FEW_WORDS = 20
_LARGE_BYTES = 200_000
_MARKUP_SHARE = 5
_SCRIPT = re.compile(rb"<script[\s>]", re.IGNORECASE)
_OFFICE = frozenset({"docx", "pptx", "xlsx", "doc", "ppt", "xls", "odt", "odp", "ods", "rtf", "epub"})
_MOST_RANGES = 10


def add_remarks(kind: str, data: bytes, content: str, report: ParseReport) -> ParseReport:
    """The report with a note about pages that were not read, and about a text that is missing or too short."""
    notes = list(report.notes)
    # Of a text that is decoded only, it matters alone whether it has one.
    most = 1 if kind in VERBATIM and not report.unread_pages else _FEW_WORDS
    words = sum(1 for _ in islice(_WORD.finditer(content), most))
    # A page of a text on which no word was recognised is a picture, as that of a cover.
    if report.unread_pages and (recognition_version() is None or words < _FEW_WORDS):
        notes.append(_unread(kind, report))
    if not data.strip():
        notes.append(EMPTY_FILE)
    elif words == 0 and not notes:
        notes.append(f"no text was found in it{_advice(kind, data)}")
    elif words < most and not notes and _is_short(kind, data, content):
        count = "1 word" if words == 1 else f"{words} words"
        notes.append(f"it has only {count} of text{_advice(kind, data)}")
    return replace(report, notes=tuple(notes)) if notes else report


def _is_short(kind: str, data: bytes, content: str) -> bool:
    if kind == "html":
        return bool(_SCRIPT.search(data)) and len(data) > _MARKUP_SHARE * len(content)
    return len(data) >= _LARGE_BYTES and kind not in VERBATIM


def _advice(kind: str, data: bytes) -> str:
    if kind == "html" and _SCRIPT.search(data):
        return "; scripts fill the page in a browser: save it from there, or ingest the data that they show"
    if kind in _OFFICE:
        return "; if it holds pictures of text, export it as a PDF, whose pages are recognised with the extra ocr"
    if kind == "pdf":
        return "; open it and see whether its pages are blank"
    return ""


def _unread(kind: str, report: ParseReport) -> str:
    if kind == "image":
        return "no text was recognised in the picture"
    total = max(len(report.page_starts), 1)
    one = len(report.unread_pages) == 1
    which = f"page {_ranges(report.unread_pages)}" if one else f"pages {_ranges(report.unread_pages)}"
    subject = f"{which} of {total} {'has' if one else 'have'} no text layer that can be read (a scan?)"
    if recognition_version() is None:
        return f"{subject}; to have it recognised: pip install 'rag_assets[ocr]', then ingest again"
    return f"{subject}, and no text was recognised; if there is some, scan it at a higher resolution"


def _ranges(pages: Sequence[int]) -> str:
    """1-3, 7"""
    ranges: list[tuple[int, int]] = []
    for page in pages:
        if ranges and page == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], page
        else:
            ranges.append((page, page))
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_MOST_RANGES]]
    return ", ".join(shown) + (" …" if len(ranges) > _MOST_RANGES else "")

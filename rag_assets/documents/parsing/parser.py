"""The bytes of a file to clean text. Plain text is decoded here; other formats are parsed in child processes."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rag_assets.documents.markup.embedded_data import without_embedded_data
from rag_assets.documents.markup.front_matter import FRONT_MATTER_TYPES, FrontMatter, read_front_matter
from rag_assets.documents.markup.header_fields import read_header_fields
from rag_assets.documents.markup.latex import decode_latex
from rag_assets.documents.markup.title import find_title
from rag_assets.documents.parsing.encoding import declared_encoding, decode_text
from rag_assets.documents.parsing.file_types import OCR_HINT, STRUCTURED_TEXT, VERBATIM, detect_kind, file_type
from rag_assets.documents.parsing.parse_report import Attachment, ConvertedDocument, ParseReport
from rag_assets.documents.parsing.remarks import add_remarks
from rag_assets.documents.parsing.subprocess_pool import ParserProcess
from rag_assets.documents.text import clean, clean_title, clean_value
from rag_assets.documents.versions import (
    READER_VERSIONS,
    document_library_version,
    pdf_library_version,
    recognition_version,
)
from rag_assets.errors import DocumentError, UsageError

__all__ = ["DocumentParser", "ParsedDocument", "file_type", "is_current_reader", "parse_plain_text", "reader_version"]

# After it, in the version of a document with pages that are pictures: what reads those. They alone are read again when
# the extra `ocr` is installed.
_RECOGNITION = "+ocr-"
# Behind it the version says what became of personal data; see PersonalDataStep.
PERSONAL_TAG = "~"

# The first line of a table or a record is not a title, and the name of a sheet hardly ever is.
_WITHOUT_HEADINGS = frozenset({"csv", "json", "jsonl", "xlsx", "xls", "ods", "mbox", "subtitles", "calendar"})
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """`content` is cleaned, and Markdown where the format has structure. Offsets of chunks count its characters."""

    title: str | None
    content: str
    file_type: str
    metadata: dict[str, Any] = field(default_factory=dict)
    report: ParseReport = field(default_factory=ParseReport)
    attachments: tuple[Attachment, ...] = ()

    def reader_version(self, file_path: str) -> str:
        """What this document of this name was read with: another version reads it again."""
        version = reader_version(file_path)
        waits = self.report.recognised_pages or self.report.unread_pages or OCR_HINT in " ".join(self.report.notes)
        if _RECOGNITION not in version and waits:
            return f"{version}{_RECOGNITION}{recognition_version() or 'missing'}"
        return version


def reader_version(file_path: str) -> str:
    """Identifies the code that reads files of this name. A document with another version stored is read again."""
    return _version_for(file_type(file_path))


def is_current_reader(stored_version: str, file_path: str | None = None) -> bool:
    """Whether this version, which a document was read with, still reads its type of files, or files of this name."""
    version, _, recognition = stored_version.partition(PERSONAL_TAG)[0].partition(_RECOGNITION)
    if recognition and recognition != (recognition_version() or "missing"):
        return False
    kind = version.partition("+")[0].rpartition("-")[0]
    return version == (_version_for(kind) if file_path is None else reader_version(file_path))


@functools.cache
def _version_for(kind: str) -> str:
    ours = f"{kind}-{READER_VERSIONS.get(kind, 1)}"
    if kind == "pdf":
        return f"{ours}+pdfium-{pdf_library_version()}"
    if kind == "image":
        return f"{ours}{_RECOGNITION}{recognition_version() or 'missing'}"
    needs_library = kind not in VERBATIM and kind not in STRUCTURED_TEXT - {"html"}
    return f"{ours}+xberg-{document_library_version()}" if needs_library else ours


class DocumentParser:
    """Parses documents with up to `workers` child processes, which start when they are first needed.

    Thread-safe. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 60,
        memory_mb: int = 2048,
        max_bytes: int = 128 * _MIB,
        workers: int = 1,
        _worker_module: str = "rag_assets.documents.parsing.subprocess_worker",
    ) -> None:
        # Tests pass a module whose parser misbehaves as `_worker_module`.
        if workers < 1:
            raise UsageError(f"workers must be at least 1, not {workers}")
        self._max_bytes = max_bytes
        self._start_process = functools.partial(
            ParserProcess, timeout_s=timeout_s, memory_mb=memory_mb, max_bytes=max_bytes, module=_worker_module
        )
        # Each thread of the pool has its own child process, and must outlive it (see ParserProcess).
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="rag_assets-parser")
        self._thread = threading.local()
        self._processes: list[ParserProcess] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the child processes; documents that are being parsed fail."""
        self._closed = True
        for process in list(self._processes):
            process.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.stop()
        self._processes.clear()

    def parse(self, file_path: str, data: bytes) -> ParsedDocument:
        """The text of a file. Raises DocumentError with the reason when it cannot be read."""
        if len(data) > self._max_bytes:
            size_mb, limit_mb = len(data) / _MIB, self._max_bytes / _MIB
            raise DocumentError(f"it has {size_mb:.1f} MB, the limit is {limit_mb:g} MB; exclude it or raise the limit")
        kind = detect_kind(file_path, data)
        if not data or (len(data) < _MIB and not data.strip()):
            return ParsedDocument(None, "", kind, {}, add_remarks(kind, b"", "", ParseReport()))
        if kind in VERBATIM:
            read = _read_verbatim(data, kind)
            content = read.content if read.content.strip() else ""
            metadata = clean_value(read.metadata)
            assert isinstance(metadata, dict)
            report = add_remarks(kind, data, content, read.report)
            return ParsedDocument(clean_title(read.title), content, kind, metadata, report)
        return self._parse_in_child(kind, data)

    def _parse_in_child(self, kind: str, data: bytes) -> ParsedDocument:
        if self._closed:
            raise UsageError("this parser is closed; create a new one")
        answer = self._threads.submit(self._parse_in_thread, kind, data).result()
        content = clean(answer["content"])
        content = content if content.strip() else ""
        title = clean_title(answer["title"])
        if title is None and kind not in _WITHOUT_HEADINGS:
            title = clean_title(find_title(content, "markdown"))
        metadata = clean_value(answer["metadata"])
        assert isinstance(metadata, dict)
        report = ParseReport.from_json(answer["report"]).after_cleaning(answer["content"])
        report = add_remarks(kind, data, content, report)
        return ParsedDocument(title, content, kind, metadata, report, tuple(answer["attachments"]))

    def _parse_in_thread(self, kind: str, data: bytes) -> dict[str, Any]:
        process: ParserProcess | None = getattr(self._thread, "process", None)
        if process is None:
            process = self._thread.process = self._start_process()
            self._processes.append(process)
            if self._closed:
                process.close()
        return process.parse(kind, data)


def parse_plain_text(file_path: str, text: str, parser: DocumentParser) -> ParsedDocument:
    """A text that its source has as such: plain text, unless the name says of which kind of text it is."""
    kind = file_type(file_path)
    if kind in (VERBATIM | STRUCTURED_TEXT) - {"unknown", "text"}:
        # With a byte order mark, no declaration in the text is taken for its encoding.
        return parser.parse(file_path, b"\xef\xbb\xbf" + clean(text).encode())
    content = clean(text)
    content = content if content.strip() else ""
    return ParsedDocument(None, content, "text", {}, add_remarks("text", content.encode(), content, ParseReport()))


def _read_verbatim(data: bytes, kind: str) -> ConvertedDocument:
    """Text that is decoded and otherwise left as it is, but for its front matter."""
    decoded = decode_text(data, declared_encoding(data, kind))
    text = clean(decoded.text)
    front = read_front_matter(text) if kind in FRONT_MATTER_TYPES else FrontMatter(text)
    content = front.body
    if kind == "latex":
        content = decode_latex(content)
    elif kind == "markdown":
        content = without_embedded_data(content)
    metadata = read_header_fields(content, kind) | front.values
    report = ParseReport(
        replaced_characters=decoded.replaced_characters, notes=(front.error,) if front.error is not None else ()
    )
    return ConvertedDocument(front.title or find_title(content, kind), content, metadata, report)

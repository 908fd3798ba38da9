"""Bytes of a file to clean text: text is decoded here, what needs a parser is parsed in a bounded child."""

import functools
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rag_assets.documents.parsing.encoding import declared_encoding, decode
from rag_assets.documents.parsing.file_types import STRUCTURED_TEXT, VERBATIM, content_type, file_type
from rag_assets.documents.parsing.subprocess_pool import Child
from rag_assets.documents.parsing.title import title_of
from rag_assets.documents.text import clean, clean_title, clean_value
from rag_assets.documents.versions import READING, document_library_version
from rag_assets.errors import DocumentError, UsageError

__all__ = ["ReadText", "Readers", "file_type", "reader_version"]

# What stands in a table or a record is no title; a sheet's name is hardly one either.
_WITHOUT_HEADINGS = frozenset({"csv", "json", "jsonl", "xlsx", "xls", "ods"})
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadText:
    """`content` is clean (every offset is into it) and, for formats with structure, Markdown."""

    title: str | None
    content: str
    file_type: str
    metadata: dict[str, Any] = field(default_factory=dict)


def reader_version(file_path: str) -> str:
    """A fingerprint of what would read this path; where it differs from a stored one, read the file again."""
    kind = file_type(file_path)
    own = f"{kind}-{READING}"
    return (
        own if kind in VERBATIM or kind in STRUCTURED_TEXT - {"html"} else f"{own}+xberg-{document_library_version()}"
    )


class Readers:
    """Reads documents; owns the child processes (at most `workers`, started when first needed).

    Any thread may call `read`. Use it as a context manager, or call `close`.
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
        # `_worker_module` is for tests: a module that serves requests with a parser that misbehaves.
        if workers < 1:
            raise UsageError(f"workers must be at least 1, not {workers}")
        self._max_bytes = max_bytes
        self._new_child = functools.partial(
            Child, timeout_s=timeout_s, memory_mb=memory_mb, max_bytes=max_bytes, module=_worker_module
        )
        # Each thread of the pool has its own child, and lives as long as it may be needed (see Child).
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="rag_assets-reader")
        self._own = threading.local()
        self._children: list[Child] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the children; a document that is being parsed right now fails."""
        self._closed = True
        for child in list(self._children):
            child.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for child in self._children:
            child.stop()
        self._children.clear()

    def read(self, file_path: str, data: bytes) -> ReadText:
        """The text of a file's bytes. Raises DocumentError, whose message is the reason why there is none."""
        if len(data) > self._max_bytes:
            size_mb, limit_mb = len(data) / _MIB, self._max_bytes / _MIB
            raise DocumentError(f"it has {size_mb:.1f} MB, the limit is {limit_mb:g} MB; exclude it or raise the limit")
        kind = _kind(file_path, data)
        if not data or (len(data) < _MIB and not data.strip()):
            return ReadText(None, "", kind, {})
        if kind in VERBATIM:
            content = clean(decode(data, declared_encoding(data, kind)))
            return ReadText(clean_title(title_of(content, kind)), content if content.strip() else "", kind, {})
        return self._read_parsed(kind, data)

    def _read_parsed(self, kind: str, data: bytes) -> ReadText:
        if self._closed:
            raise UsageError("these readers are closed; open others")
        answer = self._threads.submit(self._parse, kind, data).result()
        content = clean(answer["content"])
        content = content if content.strip() else ""
        title = clean_title(answer["title"])
        if title is None and kind not in _WITHOUT_HEADINGS:
            title = clean_title(title_of(content, "markdown"))
        metadata = clean_value(answer["metadata"])
        assert isinstance(metadata, dict)
        return ReadText(title, content, kind, metadata)

    def _parse(self, kind: str, data: bytes) -> dict[str, Any]:
        child: Child | None = getattr(self._own, "child", None)
        if child is None:
            child = self._own.child = self._new_child()
            self._children.append(child)
            if self._closed:
                child.close()
        return child.parse(kind, data)


_LOOKS_LIKE_HTML = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!doctype html|<html[\s>])", re.IGNORECASE)


def _kind(file_path: str, data: bytes) -> str:
    """What to read these bytes as: their content where it is unmistakable, else the file's name."""
    named = file_type(file_path)
    found, refused = content_type(data, named)
    if refused is not None:
        raise DocumentError(f"its content is {refused}, which cannot be read as text; convert or exclude it")
    if found is not None:
        return found
    is_text_by_name = named in VERBATIM or named in STRUCTURED_TEXT or named == "email"
    if (not is_text_by_name or named == "unknown") and _LOOKS_LIKE_HTML.match(data[:1024]):
        return "html"
    if not is_text_by_name and data.strip():
        extension = os.path.splitext(file_path)[1]  # noqa: PTH122
        raise DocumentError(
            f"it is named {extension} but its content is not of that format; it may be damaged or misnamed"
        )
    return named

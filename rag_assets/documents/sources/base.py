"""The protocol of a source of documents, and the helpers that all sources share."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from rag_assets.errors import DocumentError


class WithheldError(DocumentError):
    """A source lists the document and must not read it. Its text becomes empty, with the message as its note."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One document of a source.

    `path` is relative, with `/`, unique in its source, and text that PostgreSQL can store. `version` changes whenever
    the bytes may have changed; an empty one means unknown: the bytes are read and compared. `size_bytes` is None where
    the source does not tell it.
    """

    path: str
    version: str
    size_bytes: int | None


class Source(Protocol):
    """A place that documents are read from, such as a folder, a bucket or a wiki.

    Packages register their own under the entry point group `rag_assets.sources`: the name of the entry point is the
    scheme of its URLs, its value a callable `(uri, *, include, exclude, max_bytes) -> Source`. The globs and the size
    limit are enforced on what it returns; a source may use them to list and read less.
    """

    @property
    def uri(self) -> str:
        """The canonical address: it can be stored and opened again from another working directory."""

    def list(self) -> Iterator[SourceFile]:
        """All documents, sorted by path.

        Documents that are no longer listed are deleted. Raise SourceError when a part of the source cannot be listed,
        instead of leaving it out.
        """

    def read(self, path: str) -> bytes:
        """The bytes of one listed document; called from several threads at a time.

        Raise DocumentError when this document cannot be read: it is recorded as failed and the run continues. Any
        SourceError ends the run.
        """

    def close(self) -> None:
        """Release connections and files. An interrupted run may close a source that is still reading."""


# File names can hold characters that PostgreSQL's UTF8 cannot: NUL, and bytes that are not UTF-8 (lone surrogates in
# Python). They are escaped as U+FFFD and four hex digits, and so is U+FFFD itself, so that two names never become the
# same path.
_UNSTORABLE = re.compile("[\0\ud800-\udfff\ufffd]")
_ESCAPED = re.compile("\ufffd([0-9A-F]{4})")


def escape_name(name: str) -> str:
    return _UNSTORABLE.sub(lambda match: f"\ufffd{ord(match[0]):04X}", name)


def unescape_name(path: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), path)


def check_size(path: str, size_bytes: int | None, max_bytes: int | None) -> None:
    if size_bytes is not None and max_bytes is not None and size_bytes > max_bytes:
        step = 1024 if max_bytes % 1024 == 0 else 1000
        raise DocumentError(
            f"{path!r} is {_format_size(size_bytes, step)}, larger than the limit of {_format_size(max_bytes, step)} "
            "(RAG_ASSETS_MAX_DOCUMENT_MB)"
        )


# Addresses that a server redirects to often have a signature in the query.
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


def describe_exception(error: BaseException) -> str:
    """The type and the message of another package's exception, on one line, without the queries of URLs."""
    text = _QUERY.sub(r"\1?...", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _format_size(size_bytes: int, step: int) -> str:
    size, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < step:
            break
        size, unit = size / step, larger
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"

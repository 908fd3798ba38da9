"""The protocol of a source of documents, and the helpers that all sources share."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rag_assets.errors import DocumentError

# A listing is split into about so many parts: enough for many processes, and little to do again after a crash.
WANTED_PARTS = 32
# All documents, where a source is not listed by folder.
_ALL = ""


class WithheldError(DocumentError):
    """A source lists the document and must not read it. Its text becomes empty, with the message as its note."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One document of a source.

    `path` is relative, with `/`, unique in its source, and text that PostgreSQL can store. `version` changes whenever
    the bytes may have changed; an empty one means unknown: the bytes are read and compared. `size_bytes` is None where
    the source does not tell it.

    `readers` says who may read the document: `everyone`, `user:NAME`, `group:NAME`, `tenant:NAME`; none are nobody.
    None is not declared: everyone who may read the project. `readers_error` says why a declaration could not be used;
    the document is then nobody's.
    """

    path: str
    version: str
    size_bytes: int | None
    readers: tuple[str, ...] | None = None
    readers_error: str | None = None


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document that its source knows more of than its bytes.

    `content` is its text, or the bytes of a file. `metadata` holds values that fit JSON; searches filter by them, and
    a change of them embeds nothing. `title` takes precedence over one that is found in the content. `note` says why a
    text is empty.
    """

    content: str | bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)
    title: str | None = None
    note: str | None = None

    @property
    def size_bytes(self) -> int:
        text = self.content
        return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode(errors="surrogatepass"))

    @property
    def digest(self) -> str:
        """The SHA-256 of bytes alone; with text or metadata, of all that the document is made of."""
        if isinstance(self.content, bytes):
            digest = hashlib.sha256(self.content)
            rest: list[Any] = []
        else:
            digest = hashlib.sha256(self.content.encode(errors="surrogatepass"))
            rest = ["text"]
        rest += [part for part in (dict(self.metadata), self.title, self.note) if part]
        if rest:
            digest.update(b"\0" + json.dumps(rest, sort_keys=True, default=str).encode())
        return digest.hexdigest()


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

    def read(self, path: str) -> bytes | SourceDocument:
        """The bytes of one listed document, or its text with metadata; called from several threads at a time.

        Raise DocumentError when this document cannot be read: it is recorded as failed and the run continues. Any
        SourceError ends the run.
        """

    def close(self) -> None:
        """Release connections and files. An interrupted run may close a source that is still reading."""


@runtime_checkable
class FolderListing(Protocol):
    """What a source may have besides: a listing folder by folder, so that processes share the work on a large one."""

    def list_folder(self, prefix: str) -> "tuple[Sequence[SourceFile], Sequence[str]] | None":
        """The documents of one folder, without those below its folders, and the prefixes of these, which end with `/`.

        "" is the top. None where this source can only be listed as a whole.
        """


def read_bytes(source: Source, path: str) -> bytes:
    """The bytes of one listed document; those of its text in UTF-8, where the source has it as text."""
    read = source.read(path)
    content = read.content if isinstance(read, SourceDocument) else read
    return content if isinstance(content, bytes) else content.encode(errors="surrogatepass")


def listing_parts(source: Source) -> list[str]:
    """Parts that have each document once: `a/` is all below a folder, `a/*` only what is in it."""
    if not isinstance(source, FolderListing) or source.list_folder("") is None:
        return [_ALL]
    parts: list[str] = []
    pending = [""]
    while pending and len(parts) + len(pending) < WANTED_PARTS:
        folder = pending.pop(0)
        parts.append(f"{folder}*")
        pending += _list_folder(source, folder)[1]
    return parts + pending


def list_part(source: Source, part: str) -> Iterator[SourceFile]:
    """The documents of a part; one folder at a time is in memory."""
    if part == _ALL or not isinstance(source, FolderListing):
        yield from source.list()
        return
    folder, only_this = (part[:-1], True) if part.endswith("*") else (part, False)
    pending = [folder]
    while pending:
        files, folders = _list_folder(source, pending.pop())
        yield from files
        if not only_this:
            pending += folders


def _list_folder(source: FolderListing, prefix: str) -> tuple[list[SourceFile], list[str]]:
    found = source.list_folder(prefix)
    return ([], []) if found is None else (list(found[0]), list(found[1]))


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

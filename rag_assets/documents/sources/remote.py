"""Documents behind any fsspec URL: buckets, archives, web servers."""

import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from glob import has_magic
from typing import Any

from rag_assets.documents.sources import http_listing
from rag_assets.documents.sources.base import SourceFile, from_text, refuse_larger, to_text
from rag_assets.documents.sources.file_version import version
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.sources.uri import protocols
from rag_assets.errors import DocumentError, RagAssetsError, SourceError

# What a server redirects to often has a signature in its query.
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")


@dataclass(frozen=True, slots=True)
class _Opened:
    fs: Any
    base: str
    single: bool
    glob: Selection | None
    reading: AbstractContextManager[object]

    def name(self, path: str) -> str:
        """What the file system calls a document."""
        if self.single:
            return self.base
        if self.is_web:
            return http_listing.url(self.base, path)
        return self.prefix + from_text(path)

    @property
    def prefix(self) -> str:
        return self.base.rstrip("/") + "/" if self.base else ""

    @property
    def is_web(self) -> bool:
        return self.base.startswith(("http://", "https://"))


class RemoteSource:
    """All documents below an fsspec URL, or the one it names; http(s) URLs that end with `/` are folders."""

    def __init__(self, uri: str, selection: Selection, max_bytes: int | None = None) -> None:
        self.uri = uri
        self._selection = selection
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def __reduce__(self) -> "tuple[type[RemoteSource], tuple[str, Selection, int | None]]":
        return RemoteSource, (self.uri, self._selection, self._max_bytes)

    def list(self) -> Iterator[SourceFile]:
        # A file system remembers what it listed, and an archive is open for good: each listing opens it
        # afresh.
        with self._lock:
            self._opened = opened = _open(self.uri)
        try:
            files = sorted(_files(opened, self._selection), key=lambda file: file.path)
        except RagAssetsError:
            raise
        except Exception as error:
            raise SourceError(
                f"{self.uri} cannot be listed ({_reason(error)}); check the address and access"
            ) from error
        yield from files

    def read(self, path: str) -> bytes:
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.uri)
            opened = self._opened
        try:
            with opened.reading:
                return self._read(opened.fs, opened.name(path), path)
        except RagAssetsError:
            raise
        except Exception as error:  # Each file system raises its own.
            raise DocumentError(f"{path!r} cannot be read ({_reason(error)})") from error

    def close(self) -> None:
        with self._lock:
            self._opened = None

    def _read(self, fs: Any, name: str, path: str) -> bytes:
        if self._max_bytes is not None:
            size = fs.info(name).get("size")
            refuse_larger(path, size, self._max_bytes)
            if size is None:
                return _read_at_most(fs, name, path, self._max_bytes)
        data = bytes(fs.cat_file(name))
        refuse_larger(path, len(data), self._max_bytes)
        return data


def _open(uri: str) -> _Opened:
    from fsspec.core import url_to_fs

    try:
        # Not the instances that fsspec keeps: theirs outlive a changed archive, and others may have set them
        # up.
        fs, base = url_to_fs(from_text(uri), **{name: {"skip_instance_cache": True} for name in protocols(uri)})
        # Most file systems have one connection or one file handle, which threads must take in turns.
        reading: AbstractContextManager[object] = nullcontext() if fs.async_impl else threading.Lock()
        if base.startswith(("http://", "https://")):
            return _Opened(fs, base, not base.endswith("/"), None, reading)
        if has_magic(base) and not fs.exists(base):
            parts = base.split("/")
            first = next(at for at, part in enumerate(parts) if has_magic(part))
            glob = Selection(["/" + "/".join(parts[first:])])
            return _Opened(fs, "/".join(parts[:first]), False, glob, reading)
        single = bool(base.strip("/")) and fs.info(base)["type"] != "directory"
        return _Opened(fs, base, single, None, reading)
    except RagAssetsError:
        raise
    except Exception as error:
        raise SourceError(f"{uri} cannot be opened ({_reason(error)}); check the address and access") from error


def _files(opened: _Opened, selection: Selection) -> Iterator[SourceFile]:
    if opened.single:
        path = http_listing.file_name(opened.base) if opened.is_web else to_text(opened.base.rpartition("/")[2])
        if selection.matches(path):
            yield _file(path, opened.fs.info(opened.base))
        return
    if opened.is_web:
        for path, info in http_listing.listing(opened.fs, opened.base, selection):
            yield _file(path, info)
        return
    for name, info in _walk(opened, selection):
        path = to_text(name.removeprefix(opened.prefix))
        if path and (opened.glob is None or opened.glob.matches(path)) and selection.takes_below(path):
            yield _file(path, info)


def _walk(opened: _Opened, selection: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
    """All files below the base, with what the file system says of them."""
    from fsspec import AbstractFileSystem
    from fsspec.archive import AbstractArchiveFileSystem
    from fsspec.asyn import AsyncFileSystem
    from fsspec.implementations.cached import CachingFileSystem

    fs = opened.fs.fs if isinstance(opened.fs, CachingFileSystem) else opened.fs
    flat: dict[str, dict[str, Any]] | None = None
    if isinstance(fs, AbstractArchiveFileSystem):
        # A tar's `find` goes through all of it once per folder (6 s for 500 folders); `info` fills the table.
        fs.info(opened.base)
        flat = fs.dir_cache
    elif type(fs).find is not AbstractFileSystem.find and not (
        isinstance(fs, AsyncFileSystem) and type(fs)._find is AsyncFileSystem._find
    ):
        flat = fs.find(opened.base, detail=True)  # An object store lists everything in a few requests.
    if flat is not None:
        for name, info in flat.items():
            if _is_file(name, info) and name.startswith(opened.prefix):
                yield name, info
        return
    # fsspec's own walk leaves out, without a word, the folders that it cannot list.
    pending = [opened.base]
    while pending:
        folder = pending.pop()
        for info in fs.ls(folder, detail=True):
            name = info["name"]
            if info["type"] == "directory":
                path = to_text(name.removeprefix(opened.prefix))
                if name.rstrip("/") != folder.rstrip("/") and selection.enters(path, path.rpartition("/")[2]):
                    pending.append(name)
            elif _is_file(name, info):
                yield name, info


def _is_file(name: str, info: dict[str, Any]) -> bool:
    return info["type"] not in ("directory", "other") and not name.endswith("/")


def _file(path: str, info: dict[str, Any]) -> SourceFile:
    # An object's key may begin with a slash, a path that is relative may not.
    path = path if path[:1] != "/" else "\ufffd002F" + path[1:]
    return SourceFile(path, version(info), info.get("size"))


def _read_at_most(fs: Any, name: str, path: str, max_bytes: int) -> bytes:
    data = bytearray()
    with fs.open(name, "rb") as file:
        while len(data) <= max_bytes and (part := file.read(max_bytes + 1 - len(data))):
            data += part
    refuse_larger(path, len(data), max_bytes)
    return bytes(data)


def _reason(error: BaseException) -> str:
    # fsspec makes a FileNotFoundError of every failure of a web server; the cause says which it was.
    while error.__cause__ is not None and not isinstance(error.__cause__, LookupError):
        error = error.__cause__
    text = _QUERY.sub(r"\1?...", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__

"""Documents at an fsspec URL: in buckets, archives, on web servers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from glob import has_magic
from typing import Any

from rag_assets.documents.sources import http_listing
from rag_assets.documents.sources.access_files import AccessFiles, access_files_above
from rag_assets.documents.sources.base import SourceFile, check_size, describe_exception, escape_name, unescape_name
from rag_assets.documents.sources.file_version import file_version
from rag_assets.documents.sources.globs import ACCESS_FILE, Selection
from rag_assets.documents.sources.uri import url_protocols
from rag_assets.errors import DocumentError, RagAssetsError, SourceError


@dataclass(frozen=True, slots=True)
class _OpenedUrl:
    """A file system and a place in it: one file (`single`), or all files below `base` that match `glob`."""

    fs: Any
    base: str
    single: bool
    glob: Selection | None
    read_lock: AbstractContextManager[object]

    def name(self, path: str) -> str:
        """The file system's own name of a document."""
        if self.single:
            return self.base
        if self.is_web:
            return http_listing.page_url(self.base, path)
        return self.prefix + unescape_name(path)

    @property
    def prefix(self) -> str:
        return self.base.rstrip("/") + "/" if self.base else ""

    @property
    def is_web(self) -> bool:
        return self.base.startswith(("http://", "https://"))


class RemoteSource:
    """All documents below an fsspec URL, or the one that it names; http(s) URLs that end with `/` are folders."""

    def __init__(self, uri: str, selection: Selection, max_bytes: int | None = None) -> None:
        self.uri = uri
        self._selection = selection
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._opened: _OpenedUrl | None = None
        # For a listing folder by folder: the access files above them.
        self._access = AccessFiles()
        self._looked_for: set[str] = set()

    def __reduce__(self) -> "tuple[type[RemoteSource], tuple[str, Selection, int | None]]":
        return RemoteSource, (self.uri, self._selection, self._max_bytes)

    def list(self) -> Iterator[SourceFile]:
        # A file system caches its listings, and an archive stays open: each listing opens the URL again.
        with self._lock:
            self._opened = opened = _open(self.uri)
        try:
            access = AccessFiles()
            files = sorted(_list_files(opened, self._selection, self._add_to(access)), key=lambda file: file.path)
            files = [_with_readers(file, access) for file in files]
        except RagAssetsError:
            raise
        except Exception as error:
            raise SourceError(
                f"{self.uri} cannot be listed ({_reason(error)}); check the address and access"
            ) from error
        yield from files

    def list_folder(self, prefix: str) -> tuple[Sequence[SourceFile], Sequence[str]] | None:
        with self._lock:
            if prefix == "" or self._opened is None:
                self._opened = _open(self.uri)
                self._access, self._looked_for = AccessFiles(), set()
            opened, access = self._opened, self._access
        if opened.single or opened.is_web or opened.glob is not None or _is_archive(opened.fs):
            return None
        try:
            for path in access_files_above(prefix):
                if path not in self._looked_for and opened.fs.exists(opened.name(path)):
                    self._add_to(access)(path)
                self._looked_for.add(path)
            files, folders = _list_folder(opened, self._selection, prefix, self._add_to(access))
            return [_with_readers(file, access) for file in files], folders
        except RagAssetsError:
            raise
        except Exception as error:
            raise SourceError(
                f"{self.uri} cannot be listed at {prefix!r} ({_reason(error)}); check the address and access"
            ) from error

    def read(self, path: str) -> bytes:
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.uri)
            opened = self._opened
        try:
            with opened.read_lock:
                return self._read(opened.fs, opened.name(path), path)
        except RagAssetsError:
            raise
        except Exception as error:  # Each file system raises exceptions of its own.
            raise DocumentError(f"{path!r} cannot be read ({_reason(error)})") from error

    def _add_to(self, access: AccessFiles) -> "Callable[[str], None]":
        return lambda path: access.add(path, partial(self.read, path))

    def close(self) -> None:
        with self._lock:
            self._opened = None

    def _read(self, fs: Any, name: str, path: str) -> bytes:
        if self._max_bytes is not None:
            size = fs.info(name).get("size")
            check_size(path, size, self._max_bytes)
            if size is None:
                return _read_at_most(fs, name, path, self._max_bytes)
        data = bytes(fs.cat_file(name))
        check_size(path, len(data), self._max_bytes)
        return data


def _open(uri: str) -> _OpenedUrl:
    from fsspec.core import url_to_fs

    try:
        # Not fsspec's cached instances: they outlive a changed archive, and other code may have configured them.
        fs, base = url_to_fs(unescape_name(uri), **{name: {"skip_instance_cache": True} for name in url_protocols(uri)})
        # Most file systems have one connection or one file handle, which threads must use in turns.
        read_lock: AbstractContextManager[object] = nullcontext() if fs.async_impl else threading.Lock()
        if base.startswith(("http://", "https://")):
            return _OpenedUrl(fs, base, not base.endswith("/"), None, read_lock)
        if has_magic(base) and not fs.exists(base):
            parts = base.split("/")
            first = next(index for index, part in enumerate(parts) if has_magic(part))
            glob = Selection(["/" + "/".join(parts[first:])])
            return _OpenedUrl(fs, "/".join(parts[:first]), False, glob, read_lock)
        single = bool(base.strip("/")) and fs.info(base)["type"] != "directory"
        return _OpenedUrl(fs, base, single, None, read_lock)
    except RagAssetsError:
        raise
    except Exception as error:
        raise SourceError(f"{uri} cannot be opened ({_reason(error)}); check the address and access") from error


def _list_files(
    opened: _OpenedUrl, selection: Selection, add_access_file: Callable[[str], None]
) -> Iterator[SourceFile]:
    if opened.single:
        path = http_listing.page_name(opened.base) if opened.is_web else escape_name(opened.base.rpartition("/")[2])
        if selection.matches(path):
            yield _to_source_file(path, opened.fs.info(opened.base))
        return
    if opened.is_web:
        for path, info in http_listing.list_pages(opened.fs, opened.base, selection):
            yield _to_source_file(path, info)
        return
    for name, info in _walk(opened, selection):
        path = escape_name(name.removeprefix(opened.prefix))
        if path.rpartition("/")[2] == ACCESS_FILE:
            add_access_file(path)
        elif path and (opened.glob is None or opened.glob.matches(path)) and selection.includes_path(path):
            yield _to_source_file(path, info)


def _walk(opened: _OpenedUrl, selection: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
    """All files below the base, each with the information that the file system has of it."""
    from fsspec import AbstractFileSystem
    from fsspec.archive import AbstractArchiveFileSystem
    from fsspec.asyn import AsyncFileSystem
    from fsspec.implementations.cached import CachingFileSystem

    fs = opened.fs.fs if isinstance(opened.fs, CachingFileSystem) else opened.fs
    flat: dict[str, dict[str, Any]] | None = None
    if isinstance(fs, AbstractArchiveFileSystem):
        # A tar's `find` reads the whole archive once for each folder (6 s for 500 folders); `info` fills the cache.
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
    # fsspec's own walk silently leaves out folders that it cannot list.
    pending = [opened.base]
    while pending:
        folder = pending.pop()
        for info in fs.ls(folder, detail=True):
            name = info["name"]
            if info["type"] == "directory":
                path = escape_name(name.removeprefix(opened.prefix))
                if name.rstrip("/") != folder.rstrip("/") and selection.includes_folder(path, path.rpartition("/")[2]):
                    pending.append(name)
            elif _is_file(name, info):
                yield name, info


def _list_folder(
    opened: _OpenedUrl, selection: Selection, prefix: str, add_access_file: Callable[[str], None]
) -> tuple[list[SourceFile], list[str]]:
    folder = opened.prefix + unescape_name(prefix)
    files: list[SourceFile] = []
    folders: list[str] = []
    for info in opened.fs.ls(folder.rstrip("/") or opened.base, detail=True):
        name = info["name"]
        path = escape_name(name.removeprefix(opened.prefix)).rstrip("/")
        if info["type"] == "directory":
            if name.rstrip("/") != folder.rstrip("/") and selection.includes_folder(path, path.rpartition("/")[2]):
                folders.append(path + "/")
        elif path.rpartition("/")[2] == ACCESS_FILE:
            add_access_file(path)
        elif _is_file(name, info) and path and selection.includes_path(path):
            files.append(_to_source_file(path, info))
    # A file system keeps what it has listed; of millions of files, that is too much.
    opened.fs.invalidate_cache()
    return files, folders


def _is_archive(fs: Any) -> bool:
    from fsspec.archive import AbstractArchiveFileSystem
    from fsspec.implementations.cached import CachingFileSystem

    return isinstance(fs.fs if isinstance(fs, CachingFileSystem) else fs, AbstractArchiveFileSystem)


def _is_file(name: str, info: dict[str, Any]) -> bool:
    return info["type"] not in ("directory", "other") and not name.endswith("/")


def _to_source_file(path: str, info: dict[str, Any]) -> SourceFile:
    # The key of an object may begin with a slash, a relative path may not.
    path = path if path[:1] != "/" else "\ufffd002F" + path[1:]
    return SourceFile(path, file_version(info), info.get("size"))


def _with_readers(file: SourceFile, access: AccessFiles) -> SourceFile:
    readers, error = access.readers(file.path)
    return file if readers is None else replace(file, readers=readers, readers_error=error)


def _read_at_most(fs: Any, name: str, path: str, max_bytes: int) -> bytes:
    data = bytearray()
    with fs.open(name, "rb") as file:
        while len(data) <= max_bytes and (part := file.read(max_bytes + 1 - len(data))):
            data += part
    check_size(path, len(data), max_bytes)
    return bytes(data)


def _reason(error: BaseException) -> str:
    # fsspec raises a FileNotFoundError for every failure of a web server; the cause has the real one.
    while error.__cause__ is not None and not isinstance(error.__cause__, LookupError):
        error = error.__cause__
    return describe_exception(error)

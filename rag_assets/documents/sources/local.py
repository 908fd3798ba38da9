"""Documents in a local folder, or one local file."""

# ruff: noqa: PTH110, PTH114, PTH116, PTH118, PTH120, PTH123
# A Path object for each file would cost more than listing it.

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

from rag_assets.documents.sources.access_files import AccessFiles, access_files_above
from rag_assets.documents.sources.base import SourceFile, WithheldError, check_size, escape_name, unescape_name
from rag_assets.documents.sources.globs import ACCESS_FILE, Selection
from rag_assets.errors import DocumentError, SourceError

# The version of a link that must not be followed: its document is read again when that changes.
_WITHHELD = "outside"
_Entry = tuple[str, "os.DirEntry[str]", bool]  # path (a folder's ends with "/"), entry, whether it is a folder


@dataclass(frozen=True, slots=True)
class FolderSource:
    """All documents below a folder.

    Links to files in the folder are followed, links to folders are not: a target inside is listed under its own path
    already, and a target outside would leave the source (a link to `/` would read the machine). A link to a file
    outside is listed, and reading it raises WithheldError unless `follow_links`. A broken link is listed, and reading
    it gives the reason: its target may be on a disk that is not mounted. Pipes, sockets and devices are left out.
    """

    uri: str
    selection: Selection
    max_bytes: int | None = None
    state_folder: str | None = None
    follow_links: bool = False

    def list(self) -> Iterator[SourceFile]:
        # os.scandir with a stack of its own, not fsspec's walk, which leaves out folders that it cannot list. The
        # result is sorted, one chain of folders is in memory at a time, and paths may be of any depth.
        access = AccessFiles()
        pending = [iter(_scan_folder(self, "", unescape_name(self.uri), access))]
        while pending:
            for path, entry, is_folder in pending[-1]:
                if is_folder:
                    pending.append(iter(_scan_folder(self, path, entry.path, access)))
                    break
                file = _to_source_file(self, path, entry, access)
                if file is not None:
                    yield file
            else:
                pending.pop()

    def list_folder(self, prefix: str) -> tuple[Sequence[SourceFile], Sequence[str]]:
        access = AccessFiles()
        for path in access_files_above(prefix):
            if os.path.lexists(os.path.join(unescape_name(self.uri), unescape_name(path))):
                access.add(path, partial(self.read, path))
        folder = os.path.join(unescape_name(self.uri), unescape_name(prefix))
        found = _scan_folder(self, prefix, folder, access)
        files = (_to_source_file(self, path, entry, access) for path, entry, is_folder in found if not is_folder)
        return [file for file in files if file is not None], [path for path, _, is_folder in found if is_folder]

    def read(self, path: str) -> bytes:
        if ".." in path.split("/"):
            raise DocumentError(f"{path!r} is not a path of {self.uri}")
        full_path = os.path.join(unescape_name(self.uri), unescape_name(path))
        # A folder above it may have become a link since it was listed.
        if self.leaves(full_path):
            raise WithheldError(
                "it is a link to a file outside of its source; copy the file, or set RAG_ASSETS_FOLLOW_LINKS=true"
            )
        return _read(full_path, path, self.max_bytes)

    def leaves(self, path: str) -> bool:
        """Whether links lead to a file outside of the folder, or into the state folder, which must not be followed."""
        if self.follow_links:
            return False
        target, folder = os.path.realpath(path), os.path.realpath(unescape_name(self.uri))
        if not os.path.exists(target):
            return False
        state = None if self.state_folder is None else os.path.realpath(self.state_folder)
        return not _is_below(target, folder) or (
            state is not None and _is_below(target, state) and not _is_below(folder + os.sep, state)
        )

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """One local file. The defaults of Selection do not apply: a file that is named explicitly is wanted."""

    uri: str
    selection: Selection
    max_bytes: int | None = None

    def list(self) -> Iterator[SourceFile]:
        name = self.uri.rpartition("/")[2]
        try:
            status = os.stat(unescape_name(self.uri))
        except OSError as error:
            raise SourceError(f"the file {self.uri} cannot be found ({error.strerror}); check its path") from error
        if self.selection.matches(name):
            access = AccessFiles()
            beside = os.path.join(os.path.dirname(unescape_name(self.uri)), ACCESS_FILE)
            if os.path.lexists(beside):
                access.add(ACCESS_FILE, partial(_read, beside, ACCESS_FILE, None))
            yield SourceFile(name, _version(status), status.st_size, *access.readers(name))

    def read(self, path: str) -> bytes:
        if path != self.uri.rpartition("/")[2]:
            raise DocumentError(f"{path!r} is not a path of {self.uri}")
        return _read(unescape_name(self.uri), path, self.max_bytes)

    def close(self) -> None:
        """Nothing is held open."""


def open_local(
    uri: str, selection: Selection, max_bytes: int | None, state_folder: str | None, *, follow_links: bool = False
) -> FolderSource | FileSource:
    """Open a folder or a regular file; an address that ends with `/` can only be a folder.

    Raises SourceError where there is neither.
    """
    try:
        mode = os.stat(unescape_name(uri)).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"the folder or file {uri!r} cannot be opened ({reason}); check the path") from error
    uri = uri.rstrip(os.sep) or os.sep
    if stat.S_ISDIR(mode):
        return FolderSource(uri, selection, max_bytes, state_folder, follow_links)
    if stat.S_ISREG(mode):
        return FileSource(uri, selection, max_bytes)
    raise SourceError(f"{uri!r} is neither a folder nor a regular file; name a folder of documents")


def _scan_folder(source: FolderSource, prefix: str, folder: str, access: AccessFiles) -> list[_Entry]:
    entries: list[_Entry] = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                name = escape_name(entry.name)
                path = prefix + name
                if entry.is_dir(follow_symlinks=False):
                    if entry.path != source.state_folder and source.selection.includes_folder(path, name):
                        entries.append((path + "/", entry, True))
                elif name == ACCESS_FILE:
                    access.add(path, partial(source.read, path))
                elif source.selection.includes_file(path, name):
                    entries.append((path, entry, False))
    except OSError as error:
        where, hint = f"the folder {source.uri}", "check that it exists"
        if prefix:
            where = f"the folder {prefix!r} of {source.uri}"
            hint = f"run again, make it readable, or leave it out with --exclude '/{prefix}'"
        raise SourceError(f"{where} cannot be listed ({error.strerror}); {hint}") from error
    entries.sort(key=itemgetter(0))
    return entries


def _to_source_file(
    source: FolderSource, path: str, entry: "os.DirEntry[str]", access: AccessFiles
) -> SourceFile | None:
    readers = access.readers(path)
    try:
        status = entry.stat()
    except FileNotFoundError:
        return SourceFile(path, "", None, *readers) if entry.is_symlink() else None
    except OSError:
        return SourceFile(path, "", None, *readers)  # The file exists; reading it gives the reason.
    if not stat.S_ISREG(status.st_mode):
        return None
    if entry.is_symlink() and source.leaves(entry.path):
        return SourceFile(path, _WITHHELD, None, *readers)
    return SourceFile(path, _version(status), status.st_size, *readers)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _version(status: os.stat_result) -> str:
    # Clocks of file systems tick: every 10 ms at worst on Linux, every 1 or 2 s on old and remote ones (whole seconds).
    # A file changed in the current tick can change again after it was read, with the same time and size.
    tick_ns = 2_000_000_000 if status.st_mtime_ns % 1_000_000_000 == 0 else 20_000_000
    if abs(time.time_ns() - status.st_mtime_ns) < tick_ns:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}"


def _read(full_path: str, path: str, max_bytes: int | None) -> bytes:
    # A file can have become a pipe since it was listed, and opening a pipe would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(full_path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DocumentError(f"{path!r} is not a regular file any more")
            check_size(path, status.st_size, max_bytes)
            data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    except FileNotFoundError:
        raise DocumentError(
            f"{path!r} is a link that points to nothing" if os.path.islink(full_path) else f"{path!r} has been removed"
        ) from None
    except (OSError, ValueError) as error:
        raise DocumentError(f"{path!r} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    check_size(path, len(data), max_bytes)
    return data

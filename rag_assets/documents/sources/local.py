"""Documents in a local folder, or one local file."""

# ruff: noqa: PTH114, PTH116, PTH118, PTH123
# A Path per file would cost more than listing it.

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from rag_assets.documents.sources.base import SourceFile, from_text, refuse_larger, to_text
from rag_assets.documents.sources.globs import Selection
from rag_assets.errors import DocumentError, SourceError

_Entry = tuple[str, "os.DirEntry[str]", bool]  # path (a folder's ends with "/"), entry, is it a folder


@dataclass(frozen=True, slots=True)
class FolderSource:
    """All documents below a folder.

    Links to files are followed, links to folders are not: a target inside is listed under its own path
    already, and one outside would leave the source (a link to `/` would read the machine). A link that points
    to nothing is listed, and reading it says so: its target may be on a disk that is away. Pipes, sockets and
    devices are left out.
    """

    uri: str
    selection: Selection
    max_bytes: int | None = None
    state_folder: str | None = None

    def list(self) -> Iterator[SourceFile]:
        # `os.scandir` by hand, with a stack of our own: sorted, one chain of folders in memory, as deep as
        # paths can be, and with an error where fsspec's walk would leave a folder out without a word.
        pending = [iter(_entries(self, "", from_text(self.uri)))]
        while pending:
            for path, entry, is_folder in pending[-1]:
                if is_folder:
                    pending.append(iter(_entries(self, path, entry.path)))
                    break
                found = _file(path, entry)
                if found is not None:
                    yield found
            else:
                pending.pop()

    def read(self, path: str) -> bytes:
        if ".." in path.split("/"):
            raise DocumentError(f"{path!r} is not a path of {self.uri}")
        return _read(os.path.join(from_text(self.uri), from_text(path)), path, self.max_bytes)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """One local file, taken whatever its name is: whoever names a file means it."""

    uri: str
    selection: Selection
    max_bytes: int | None = None

    def list(self) -> Iterator[SourceFile]:
        name = self.uri.rpartition("/")[2]
        try:
            found = os.stat(from_text(self.uri))
        except OSError as error:
            raise SourceError(f"the file {self.uri} cannot be found ({error.strerror}); check its path") from error
        if self.selection.matches(name):
            yield SourceFile(name, _version(found), found.st_size)

    def read(self, path: str) -> bytes:
        if path != self.uri.rpartition("/")[2]:
            raise DocumentError(f"{path!r} is not a path of {self.uri}")
        return _read(from_text(self.uri), path, self.max_bytes)

    def close(self) -> None:
        """Nothing is held open."""


def open_local(
    uri: str, selection: Selection, max_bytes: int | None, state_folder: str | None
) -> FolderSource | FileSource:
    """Raises SourceError where there is neither a folder nor a regular file; `docs/` can be a folder only."""
    try:
        mode = os.stat(from_text(uri)).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(f"the folder or file {uri!r} cannot be opened ({reason}); check the path") from error
    uri = uri.rstrip(os.sep) or os.sep
    if stat.S_ISDIR(mode):
        return FolderSource(uri, selection, max_bytes, state_folder)
    if stat.S_ISREG(mode):
        return FileSource(uri, selection, max_bytes)
    raise SourceError(f"{uri!r} is neither a folder nor a regular file; name a folder of documents")


def _entries(source: FolderSource, prefix: str, folder: str) -> list[_Entry]:
    entries: list[_Entry] = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                name = to_text(entry.name)
                path = prefix + name
                if entry.is_dir(follow_symlinks=False):
                    if entry.path != source.state_folder and source.selection.enters(path, name):
                        entries.append((path + "/", entry, True))
                elif source.selection.takes(path, name):
                    entries.append((path, entry, False))
    except OSError as error:
        where, hint = f"the folder {source.uri}", "check that it is there"
        if prefix:
            where = f"the folder {prefix!r} of {source.uri}"
            hint = f"run it again, make it readable, or leave it out with --exclude '/{prefix}'"
        raise SourceError(f"{where} cannot be listed ({error.strerror}); {hint}") from error
    entries.sort(key=itemgetter(0))
    return entries


def _file(path: str, entry: "os.DirEntry[str]") -> SourceFile | None:
    try:
        found = entry.stat()
    except FileNotFoundError:
        return SourceFile(path, "", None) if entry.is_symlink() else None
    except OSError:
        return SourceFile(path, "", None)  # It is there, and reading it will give the reason.
    return SourceFile(path, _version(found), found.st_size) if stat.S_ISREG(found.st_mode) else None


def _version(found: os.stat_result) -> str:
    # Clocks of file systems tick: every 10 ms at worst on Linux, 1 or 2 s on old and remote ones (whole
    # seconds). A file changed in this very tick can change again, keeping time and size, after we have read
    # it.
    tick_ns = 2_000_000_000 if found.st_mtime_ns % 1_000_000_000 == 0 else 20_000_000
    if abs(time.time_ns() - found.st_mtime_ns) < tick_ns:
        return ""
    return f"{found.st_mtime_ns}-{found.st_size}"


def _read(full_path: str, path: str, max_bytes: int | None) -> bytes:
    # What was a file when it was listed can be a pipe now, and opening one would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(full_path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DocumentError(f"{path!r} is not a regular file any more")
            refuse_larger(path, found.st_size, max_bytes)
            data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    except FileNotFoundError:
        raise DocumentError(
            f"{path!r} is a link that points to nothing" if os.path.islink(full_path) else f"{path!r} has been removed"
        ) from None
    except (OSError, ValueError) as error:
        raise DocumentError(f"{path!r} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    refuse_larger(path, len(data), max_bytes)
    return data

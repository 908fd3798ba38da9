"""Source types that other packages register as entry points of the group `rag_assets.sources`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint

from rag_assets.documents.readers import check_readers
from rag_assets.documents.sources.base import Source, SourceDocument, SourceFile, check_size, describe_exception
from rag_assets.documents.sources.globs import Selection
from rag_assets.documents.text import is_text
from rag_assets.errors import DocumentError, RagAssetsError, SourceError, UsageError
from rag_assets.settings.entry_points import describe_entry_point, find_entry_point, list_entry_points

ENTRY_POINT_GROUP = "rag_assets.sources"
_MEMBERS = ("uri", "list", "read", "close")
# Always a path of this machine.
_LOCAL_SCHEMES = frozenset({"file", "local"})


def find_source_type(scheme: str) -> EntryPoint | None:
    """The entry point that is registered for URLs of this scheme, or None.

    It takes precedence over fsspec's file system of the same scheme: it was installed on purpose, and a later release
    of fsspec that adds the scheme must not change where a stored project reads from.
    """
    if scheme in _LOCAL_SCHEMES:
        return None
    return find_entry_point(ENTRY_POINT_GROUP, scheme, f"{scheme}://")


def source_type_schemes() -> list[str]:
    return sorted({entry.name.lower() for entry in list_entry_points(ENTRY_POINT_GROUP)})


def open_source_type(
    entry: EntryPoint, uri: str, *, include: Sequence[str], exclude: Sequence[str], max_bytes: int | None
) -> "ExternalSource":
    """Load a source type and open an address with it.

    Raises UsageError when the source type cannot be loaded or does not return a source. An error of this package that
    the source type raises is passed on; any other becomes a SourceError.
    """
    origin = f"the source type {describe_entry_point(entry)}"
    selection = Selection(include, exclude)
    try:
        source_type = entry.load()
    except Exception as error:
        raise UsageError(
            f"{origin} cannot be loaded ({describe_exception(error)}); correct or uninstall its package"
        ) from error
    if not callable(source_type):
        raise UsageError(f"{origin} is not callable; name a class or function that returns a source")
    try:
        source = source_type(uri, include=tuple(include), exclude=tuple(exclude), max_bytes=max_bytes)
    except RagAssetsError:
        raise
    except Exception as error:
        raise SourceError(f"{uri} cannot be opened by {origin} ({describe_exception(error)})") from error
    missing = [name for name in _MEMBERS if not hasattr(source, name)]
    if missing:
        raise UsageError(
            f"{origin} returned an object of type {type(source).__name__} without {', '.join(missing)}; "
            f"a source has {', '.join(_MEMBERS)}"
        )
    return ExternalSource(uri, source, selection, max_bytes)


class ExternalSource:
    """A source of another package, held to the contract of `Source`.

    It applies the globs and the size limit, sorts the listing and checks each of its files. Exceptions that are not of
    this package become a SourceError while listing and a DocumentError while reading.
    """

    def __init__(self, uri: str, source: Source, selection: Selection, max_bytes: int | None) -> None:
        self.uri = uri
        self._source = source
        self._selection = selection
        self._max_bytes = max_bytes

    def list(self) -> Iterator[SourceFile]:
        files: dict[str, SourceFile] = {}
        try:
            for file in self._source.list():
                check_listed_file(self.uri, file)
                if file.path in files:
                    raise SourceError(f"{self.uri} lists {file.path!r} twice; a path must be unique in its source")
                files[file.path] = _with_checked_readers(file)
        except RagAssetsError:
            raise
        except Exception as error:
            raise SourceError(f"{self.uri} cannot be listed ({describe_exception(error)})") from error
        yield from (files[path] for path in sorted(files) if self._selection.includes_path(path))

    def read(self, path: str) -> bytes | SourceDocument:
        try:
            data = self._source.read(path)
        except RagAssetsError:
            raise
        except Exception as error:
            raise DocumentError(f"{path!r} cannot be read ({describe_exception(error)})") from error
        is_document = isinstance(data, SourceDocument)
        content = data.content if isinstance(data, SourceDocument) else data
        if not isinstance(content, bytes | str if is_document else bytes):
            raise SourceError(
                f"{self.uri} returned {path!r} as {type(content).__name__}; "
                "read() must return bytes, or a SourceDocument"
            )
        check_size(path, len(content), self._max_bytes)
        return data

    def close(self) -> None:
        self._source.close()


def _with_checked_readers(file: SourceFile) -> SourceFile:
    """A declaration that cannot be understood makes nobody a reader, instead of everybody or an end of the run."""
    if file.readers is None and file.readers_error is None:
        return file
    try:
        if file.readers_error is not None:
            raise ValueError(" ".join(str(file.readers_error).split())[:500])
        return replace(file, readers=check_readers(file.readers))
    except ValueError as error:
        return replace(
            file, readers=(), readers_error=f"nobody may read it: its source declares its readers as {error}"
        )


def check_listed_file(uri: str, file: object) -> None:
    """Raise SourceError for what is no `SourceFile`, or one that cannot be stored."""
    if not isinstance(file, SourceFile):
        raise SourceError(f"{uri} lists an object of type {type(file).__name__}; list() must yield SourceFile objects")
    path, version, size_bytes = file.path, file.version, file.size_bytes
    if not is_text(path) or any(part in ("", ".", "..") for part in path.split("/")):
        raise SourceError(f"{uri} lists the path {path!r}; a path must be relative, like 'folder/name.md'")
    if not is_text(version):
        raise SourceError(f"{uri} lists {path!r} with the version {version!r}; a version must be text, '' if unknown")
    if size_bytes is not None and (not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0):
        raise SourceError(f"{uri} lists {path!r} with size_bytes {size_bytes!r}; give a number of bytes, or None")

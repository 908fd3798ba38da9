"""`.access.yaml`: the file in a folder of a source that declares who may read the documents below it."""

from collections.abc import Callable
from dataclasses import dataclass

from rag_assets.documents.readers import check_readers
from rag_assets.documents.sources.globs import ACCESS_FILE, Selection
from rag_assets.errors import DocumentError, UsageError

_MAX_BYTES = 1_000_000
_EXAMPLE = "write lines of `glob: reader`, for example `'salaries/**': [group:board, user:anna]`"


class AccessFileError(ValueError):
    """An access file that cannot be understood."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """The files that a glob selects, below the folder of the access file, and who may read them."""

    selection: Selection
    readers: tuple[str, ...]


class AccessFiles:
    """The access files of one listing. The nearest one with a glob that matches decides, and in it the last such glob.

    A file that cannot be read or understood makes nobody a reader of the documents that it would decide for.
    """

    def __init__(self) -> None:
        # By folder: "" or "sub/". A text says what is wrong with the file.
        self._found: dict[str, tuple[_Rule, ...] | str] = {}

    def add(self, path: str, read: Callable[[], bytes]) -> None:
        """Read the access file at this path."""
        try:
            self._found[path.removesuffix(ACCESS_FILE)] = parse_access_file(read())
        except (DocumentError, AccessFileError) as error:
            self._found[path.removesuffix(ACCESS_FILE)] = (
                f"nobody may read it, since {path} does not say who may: {error}; correct it and ingest again"
            )

    def readers(self, path: str) -> tuple[tuple[str, ...] | None, str | None]:
        """Who may read a document, None where nothing is declared; and what is wrong with the declaration."""
        if not self._found:
            return None, None
        folder = path
        while folder:
            folder = folder.rstrip("/").rpartition("/")[0]
            folder = folder + "/" if folder else ""
            rules = self._found.get(folder, ())
            if isinstance(rules, str):
                return (), rules
            below = path.removeprefix(folder)
            for rule in rules:
                if rule.selection.matches(below):
                    return rule.readers, None
        return None, None


def access_files_above(prefix: str) -> list[str]:
    """The paths of the access files that may be in the folders above this one, the outermost first."""
    parts = prefix.split("/")[:-1]
    return ["/".join([*parts[:depth], ACCESS_FILE]) for depth in range(len(parts))]


def parse_access_file(data: bytes) -> tuple[_Rule, ...]:
    """The rules, the one that takes precedence first. Raises AccessFileError."""
    import yaml

    if len(data) > _MAX_BYTES:
        raise AccessFileError(f"it has more than {_MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise AccessFileError("it is not UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise AccessFileError(f"it is no YAML ({' '.join(str(error).split())[:200]})") from None
    if node is None:
        return ()
    if not isinstance(node, yaml.MappingNode):
        raise AccessFileError(f"it is no mapping; {_EXAMPLE}")
    rules: dict[str, _Rule] = {}
    for key, value in node.value:
        glob = key.value if isinstance(key, yaml.ScalarNode) else None
        if not isinstance(glob, str) or not glob or glob.startswith("!"):
            raise AccessFileError(f"{glob!r} is no glob; {_EXAMPLE}")
        if glob in rules:
            raise AccessFileError(f"it has the glob {glob!r} twice")
        try:
            rules[glob] = _Rule(Selection([glob]), check_readers(_names(value)))
        except (UsageError, ValueError) as error:
            raise AccessFileError(f"{glob!r}: {error}") from None
    return tuple(reversed(rules.values()))


def _names(node: object) -> str | list[str]:
    """The scalars as written: YAML would read `user:1` as text, and `1` or `no` as something else."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(one, yaml.ScalarNode) for one in node.value):
        return [str(one.value) for one in node.value]
    raise AccessFileError(f"the readers are no list of names; {_EXAMPLE}")

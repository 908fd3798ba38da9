"""The documents that were attachments: which of the stored ones belong to a file, and which should be there."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from rag_assets.documents.parsing.parse_report import ATTACHMENT_SEPARATOR, number_name
from rag_assets.documents.parsing.parser import is_current_reader
from rag_assets.documents.sources.globs import Selection

# Mails in mails in mails: attachments below this depth are not read.
MOST_NESTED_FILES = 5


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What the table has of a document, for the comparison with its source."""

    id: UUID
    source_version: str | None
    hash: str | None
    reader: str | None
    failed: bool
    # The names of the attachments that were found in it, as paths below it.
    attachments: tuple[str, ...] = ()
    readers: list[str] | None = None
    readers_error: str | None = None


class AttachedDocuments:
    """The documents `mail.eml!/report.pdf` beside the listed files that hold them.

    They have no version of their own: while a mail is unchanged, its report tells which attachments it has, and these
    documents stay as they are. An `exclude` glob, and `Documents.delete`, leaves out attachments like files.
    """

    def __init__(
        self,
        stored: Mapping[str, StoredDocument],
        listed: Collection[str],
        *,
        enabled: bool,
        exclude: Collection[str] = (),
        is_current: Callable[[str], bool] = bool,
    ) -> None:
        self._is_current = is_current
        self._stored = stored
        self._listed = listed
        self._enabled = enabled
        self._selection = Selection((), tuple(exclude)) if exclude else None
        self._by_file: dict[str, list[str]] = {}
        for path in stored:
            if path not in listed and (file_path := self._file_of(path)) is not None:
                self._by_file.setdefault(file_path, []).append(path)

    def is_held(self, path: str) -> bool:
        """Whether this stored document was an attachment of a listed file."""
        return self._file_of(path) is not None

    def is_attachment(self, path: str) -> bool:
        """Whether this stored document was an attachment of a stored file, which may be gone."""
        return path not in self._listed and any(above in self._stored for above in _holders(path))

    def of_file(self, file_path: str) -> list[str]:
        """The paths of the stored documents that were attachments of this file, at any depth."""
        return self._by_file.get(file_path, [])

    def paths(self, holder: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The attachments that have a document, by name, with the paths of these documents."""
        for name in names if self._enabled else ():
            free, numbers = name, count(2)
            # A file of the source can be named like an attachment.
            while holder + ATTACHMENT_SEPARATOR + free in self._listed or (free != name and free in names):
                free = number_name(name, next(numbers))
            path = holder + ATTACHMENT_SEPARATOR + free
            if self._selection is None or self._selection.matches(path):
                yield name, path

    def wanted(self, holder: str, depth: int = 0) -> Iterator[str]:
        """The paths of all attachments that the stored document has according to its report, at any depth."""
        stored = self._stored.get(holder) if depth < MOST_NESTED_FILES else None
        for _, path in self.paths(holder, stored.attachments if stored else ()):
            yield path
            yield from self.wanted(path, depth + 1)

    def are_current(self, holder: str, comparable: Mapping[str, StoredDocument]) -> bool:
        """Whether every wanted document is stored, sound and read by the present version of its reader."""
        for path in self.wanted(holder):
            stored = comparable.get(path)
            if stored is None or stored.hash is None or stored.reader is None:
                return False
            if not is_current_reader(stored.reader, path) or not self._is_current(stored.reader):
                return False
        return True

    def _file_of(self, path: str) -> str | None:
        return next((above for above in _holders(path) if above in self._listed), None)


def _holders(path: str) -> Iterator[str]:
    """The paths of the files that a path names as holding it, the outermost first."""
    at = path.find(ATTACHMENT_SEPARATOR)
    while at > 0:
        yield path[:at]
        at = path.find(ATTACHMENT_SEPARATOR, at + 1)

"""What reading found out about a document beside its text, and the form in which readers return both."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Self

from rag_assets.documents.text import clean

# Between the path of a mail and the name of a file in it: `mail.eml!/report.pdf`.
ATTACHMENT_SEPARATOR = "!/"


@dataclass(frozen=True, slots=True)
class ParseReport:
    """Facts about the reading of a document, stored in `documents.parse_report`.

    - `page_starts`: the offset in the content at which each page begins, the first page first; empty without pages.
    - `replaced_characters`: U+FFFD in the text that stand for bytes which could not be decoded.
    - `recognised_pages`: pages, from 1, whose text was recognised in a picture.
    - `unread_pages`: pages, from 1, that are pictures, or drawings of letters, in which no text was recognised.
    - `notes`: sentences for people, for example why the document is empty.
    - `attachments`: files in it that are read as documents of their own, as paths below it.
    """

    page_starts: tuple[int, ...] = ()
    replaced_characters: int = 0
    recognised_pages: tuple[int, ...] = ()
    unread_pages: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        """The report from what `as_json` gave; NULL is an empty one."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (stored or {}).items()
            if name in known
        }
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """The fields that say something; empty for most documents."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value}

    def page_of(self, char_start: int, char_end: int) -> int | None:
        """The page, from 1, on which most of this stretch stands; the first of several equals. None without pages."""
        if not self.page_starts:
            return None
        first = max(0, bisect_right(self.page_starts, char_start) - 1)
        last = max(first, bisect_right(self.page_starts, char_end - 1) - 1)
        edges = [char_start, *self.page_starts[first + 1 : last + 1], char_end]
        lengths = [end - start for start, end in pairwise(edges)]
        return first + 1 + lengths.index(max(lengths))

    def after_cleaning(self, content: str) -> Self:
        """The report for the cleaned text of this content: cleaning removes characters, and so moves pages."""
        if not self.page_starts or len(clean(content)) == len(content):
            return self
        moved: list[int] = []
        at = 0
        for start, end in pairwise([*self.page_starts, len(content)]):
            if not moved:
                at = len(clean(content[:start]))
            moved.append(at)
            at += len(clean(content[start:end]))
        return replace(self, page_starts=tuple(moved))


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a mail; `name` is a relative path, unique in the mail and safe to store."""

    name: str
    data: bytes


def number_name(name: str, number: int) -> str:
    """The name of the second, third … file of this name: `report (2).pdf`."""
    stem, dot, extension = name.rpartition(".")
    return f"{stem} ({number}).{extension}" if stem and dot and "/" not in extension else f"{name} ({number})"


@dataclass(frozen=True, slots=True)
class ConvertedDocument:
    """What a reader makes of a document's bytes: its title, its text, metadata that users filter by, and the report.

    `attachments` are the files that the report names.
    """

    title: str | None
    content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    report: ParseReport = field(default_factory=ParseReport)
    attachments: tuple[Attachment, ...] = ()

"""What a hit must be, whatever its score: filters on projects, documents and their metadata, as bound conditions."""

import marshal
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal, select

from rag_assets.db.connections.compiled import NO_CLAUSES, Clauses
from rag_assets.db.models import Document, Project
from rag_assets.documents.text import is_text
from rag_assets.errors import UsageError
from rag_assets.search.filters.metadata_filters import metadata_condition
from rag_assets.validation import format_value

_MOST_NAMES = 10_000
_LONGEST_GLOB = 1_000
# marshal's format in which equal values are equal bytes, whoever else holds them.
_UNSHARED = 2
_LONGEST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Filters:
    """All given conditions hold at once; within one, any of several values will do.

    `path_glob`: as in `--include`: `*.md` at any depth, with a slash from the top ("docs/**/*.md"); `*` and `?` do not
    cross a slash, `**` does. `metadata`: a mapping that the document's metadata contains
    (`{"author": "Ada", "tags": ["x"]}`), with comparisons where a value is a mapping of operators
    (`{"year": {"$gte": 2020, "$lt": 2025}}`; $eq $ne $gt $gte $lt $lte $in $nin $exists $contains), and `$and`,
    `$or`, `$not` around such mappings. A dot in a name goes deeper ("page.size"). What is of another type than it is
    compared with does not match; of a list, $gt and its like look for one element that does. Times are aware
    datetimes; ranges include their start and leave out their end.
    """

    projects: Sequence[str] = ()
    file_types: Sequence[str] = ()
    path_glob: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """On `documents`, which the statement joins; every value is bound.

        Raises UsageError for a filter that cannot be.
        """
        return self.clauses().clauses

    def clauses(self) -> Clauses:
        """The same, remembered: a filter that is asked for again costs no more than looking for it."""
        # Most searches have none.
        if self is NO_FILTERS:
            return NO_CLAUSES
        key = self._content()
        return Clauses(list(self._conditions())) if key is None else _clauses(_Remembered(key, self))

    def key(self) -> Hashable:
        return self._content() or repr(self)

    def _content(self) -> Hashable:
        """What it is made of, where that is of Python's own types; None else, or where that is long."""
        given: Any = self.projects, self.file_types, self.path_glob, self.metadata
        try:
            given = marshal.dumps(given, _UNSHARED)
        except ValueError:
            return None
        times = self.created_from, self.created_to, self.updated_from, self.updated_to
        known = len(given) <= _LONGEST_REMEMBERED and all(time is None or type(time) is datetime for time in times)
        return (given, *times) if known else None

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        if self.projects:
            named = select(Project.id).where(among(Project.name, _strings("projects", self.projects)))
            yield Document.project_id.in_(named)
        if self.file_types:
            yield among(Document.file_type, _strings("file_types", self.file_types))
        if self.path_glob is not None:
            yield Document.file_path.op("~")(glob_to_regex(self.path_glob))
        if not isinstance(self.metadata, Mapping) or self.metadata:
            yield metadata_condition(self.metadata)
        for name, column in (("created", Document.created_at), ("updated", Document.updated_at)):
            start, end = (checked_time(f"{name}_{edge}", getattr(self, f"{name}_{edge}")) for edge in ("from", "to"))
            if start and end and start >= end:
                raise UsageError(f"{name}_from {start} is not before {name}_to {end}; swap them or widen the range.")
            if start:
                yield column >= start
            if end:
                yield column < end


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class _Remembered:
    content: Hashable
    filters: Filters = field(compare=False)


@lru_cache(maxsize=1_000)
def _clauses(known: _Remembered) -> Clauses:
    return Clauses(list(known.filters._conditions()))


def glob_to_regex(glob: str) -> str:
    """The regular expression of a path glob, as PostgreSQL reads it."""
    if not is_text(glob) or not glob or len(glob) > _LONGEST_GLOB:
        raise UsageError(f"path_glob is {format_value(glob)}; write something like *.md or docs/**/*.rst.")
    anchored = "/" in glob.rstrip("/")
    pattern = "^" if anchored else "(^|/)"
    for part in re.findall(r"\*\*/|\*+|\?|[^*?]+", glob.removeprefix("/")):
        if part == "**/":
            pattern += "(.*/)?"
        elif part.startswith("**"):
            pattern += ".*"
        else:
            pattern += {"*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    return pattern + (".*$" if glob.endswith("/") else "$")


def among(column: Any, names: Iterable[str]) -> ColumnElement[bool]:
    # One value, however many names: a statement for two serves for three.
    found: ColumnElement[bool] = column == any_(literal(list(names), ARRAY(Text)))
    return found


def _strings(name: str, values: Sequence[str]) -> Iterator[str]:
    if isinstance(values, str):
        values = (values,)
    if len(values) > _MOST_NAMES:
        raise UsageError(f"{name} has {len(values)} names; ask for {_MOST_NAMES} at most, or leave it out.")
    for value in values:
        if not is_text(value):
            raise UsageError(f"{name} has {format_value(value)}; give names.")
        yield value


def checked_time(name: str, value: Any) -> datetime | None:
    if value is not None and not (isinstance(value, datetime) and value.utcoffset() is not None):
        raise UsageError(f"{name} is {format_value(value)}; give a datetime with a time zone.")
    return value

"""Filters on projects, documents and their metadata, as SQL conditions with bound values."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Boolean, ColumnElement, Text, any_, case, func, literal, select

from rag_assets.db.connections.compiled import Clauses
from rag_assets.db.models import Document, Project
from rag_assets.documents.sources.globs import glob_to_regex
from rag_assets.documents.text import is_text
from rag_assets.errors import UsageError
from rag_assets.search.filters.metadata_filters import metadata_condition
from rag_assets.validation import check_names, format_value

_MAX_NAMES = 10_000
_MAX_GLOB_CHARS = 1_000

# Clauses by what they were built from, the newest filters only; longer filters are built each time.
_CLAUSES: OrderedDict[Hashable, Clauses] = OrderedDict()
_MAX_CACHED = 1_000
_MAX_CACHED_TOKENS = 1_000
_MAX_CACHED_CHARS = 10_000
# Beyond these a filter gets no key.
_MAX_TOKENS = 50_000
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on the documents of a search's hits, checked when it is made.

    All given conditions must hold. Of several names, any one will do. Unset or None is no condition.

    - `projects`, `file_types`: one name or a sequence of names. A file type is `Hit.file_type`, for example
      "markdown".
    - `path_glob`: a glob as in `--include`, like a line of .gitignore. `*.md` matches at any depth; a glob with a slash
      starts at the top ("docs/**/*.md"); one that names a folder matches all below it ("docs/"). `*`, `?` and
      `[a-z]` do not cross a slash, `**` does. Composed and decomposed letters are the same.
    - `metadata`: a mapping of fields to the values that they must have (`{"author": "Ada", "tags": ["x"]}`): the value,
      or all of a list, or all fields of a mapping. A mapping of operators compares instead (`{"year": {"$gte": 2020,
      "$lt": 2025}}`; $eq $ne $gt $gte $lt $lte $in $nin $exists $contains), and `$and`, `$or`, `$not` combine such
      mappings. A dot in a name goes deeper ("page.size"). A value of another type than the operand's does not match.
      One rule for lists: a list in the metadata, at the end of the name or on the way there, stands for its elements. A
      condition holds for a list if it holds for one of them ($eq and $in also if the whole list is equal); $ne and
      $nin hold where $eq and $in do not.
    - `created_from`, `created_to`, `updated_from`, `updated_to`: aware datetimes. A range includes its start and
      excludes its end.

    Raises UsageError for a value that cannot be used; the message names the field.
    """

    projects: str | Sequence[str] | None = None
    file_types: str | Sequence[str] | None = None
    path_glob: str | None = None
    metadata: Mapping[str, Any] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    # Built once: searches with these filters compile one statement for all filters of the same form, and remember by
    # the key how selective they are. Filters with equal conditions have equal keys; None where that is not known.
    clauses: Clauses = field(init=False, repr=False, compare=False)
    key: Hashable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assign = object.__setattr__
        assign(self, "projects", _check_names("projects", self.projects))
        assign(self, "file_types", _check_names("file_types", self.file_types))
        if isinstance(self.metadata, Mapping) and type(self.metadata) is not dict:
            assign(self, "metadata", dict(self.metadata))
        content = self._content()
        is_small = content is not None and _is_small(content)
        clauses = _CLAUSES.get(content) if is_small else None
        if clauses is None:
            clauses = Clauses(list(self._conditions()))
            if is_small:
                _CLAUSES[content] = clauses
                if len(_CLAUSES) > _MAX_CACHED:
                    _CLAUSES.popitem(last=False)
        assign(self, "clauses", clauses)
        # Equal hashes of different filters do no harm: the key decides how to search, never what is found.
        assign(self, "key", None if content is None else hash(content))

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return bool(self.clauses)

    def __repr__(self) -> str:
        values = zip(self.__match_args__, self._values(), strict=True)
        return f"Filters({', '.join(f'{name}={format_value(value)}' for name, value in values if value)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # SQL conditions are not pickled, but built again.
        return Filters, self._values()

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """The conditions, on `documents`; the statement joins that table."""
        return self.clauses.clauses

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def _content(self) -> tuple[Hashable, ...] | None:
        """All values with their types, so that 1, True, 1.0 and "1" differ; None for types that are not Python's own.

        A value of such a type may be equal to another today and not tomorrow.
        """
        tokens: list[Any] = []
        for value in (self.projects, self.file_types, self.path_glob, self.metadata):
            if value is None:
                tokens.append(None)
            elif not _append_tokens(value, tokens):
                return None
        for time in (self.created_from, self.created_to, self.updated_from, self.updated_to):
            if time is not None and type(time) is not datetime:
                return None
            tokens.append(time)
        return tuple(tokens)

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        if self.projects:
            yield Document.project_id.in_(select(Project.id).where(is_any_of(Project.name, self.projects)))
        if self.file_types:
            yield is_any_of(Document.file_type, self.file_types)
        if self.path_glob is not None:
            yield _path_matches(self.path_glob)
        if self.metadata is not None and (not isinstance(self.metadata, Mapping) or self.metadata):
            yield metadata_condition(self.metadata)
        for name, column in (("created", Document.created_at), ("updated", Document.updated_at)):
            start, end = (check_time(f"{name}_{edge}", getattr(self, f"{name}_{edge}")) for edge in ("from", "to"))
            if start and end and start >= end:
                raise UsageError(f"{name}_from {start} is not before {name}_to {end}; swap them or widen the range.")
            if start:
                yield column >= start
            if end:
                yield column < end


def _path_matches(glob: Any) -> ColumnElement[bool]:
    if not is_text(glob) or not glob or len(glob) > _MAX_GLOB_CHARS:
        raise UsageError(f"path_glob is {format_value(glob)}; write something like *.md or docs/**/*.rst.")
    path = Document.file_path
    # `normalize_path` in SQL. Most paths are ASCII, which it does not change; a newline matters where a space does.
    composed = case((func.octet_length(path) == func.char_length(path), path), else_=func.normalize(path))
    expression = glob_to_regex(glob)
    normal = func.translate(composed, "\n", " ") if " " in expression else composed
    return normal.op("~", return_type=Boolean())(expression)


def is_any_of(column: Any, names: Iterable[str]) -> ColumnElement[bool]:
    # One bound array, however many names: a statement for two names serves for three.
    condition: ColumnElement[bool] = column == any_(literal(list(names), ARRAY(Text)))
    return condition


def check_time(name: str, value: Any) -> datetime | None:
    if value is not None and not (isinstance(value, datetime) and value.utcoffset() is not None):
        raise UsageError(f"{name} is {format_value(value)}; give a datetime with a time zone.")
    return value


def _check_names(name: str, value: Any) -> tuple[str, ...] | None:
    names = check_names(name, value) or None
    if names and len(names) > _MAX_NAMES:
        raise UsageError(f"{name} has {len(names)} names; give {_MAX_NAMES} at most, or leave it out.")
    return names


def _append_tokens(value: Any, tokens: list[Any], depth: int = 0) -> bool:
    """Append what tells the value from every other one; False where it is too large or of an unknown type.

    1, 1.0 and True are equal in Python, so floats and booleans come with their type.
    """
    kind = type(value)
    if kind is str or kind is int or value is None:
        tokens.append(value)
        return True
    tokens.append(kind)
    if len(tokens) > _MAX_TOKENS or depth > _MAX_DEPTH:
        return False
    if kind is bool or kind is float:
        tokens.append(value)
        return True
    if kind is dict:
        tokens.append(len(value))
        for name, item in value.items():
            if not (_append_tokens(name, tokens, depth + 1) and _append_tokens(item, tokens, depth + 1)):
                return False
        return True
    if kind is list or kind is tuple:
        tokens.append(len(value))
        return all(_append_tokens(item, tokens, depth + 1) for item in value)
    return False


def _is_small(content: Sequence[Any]) -> bool:
    if len(content) > _MAX_CACHED_TOKENS:
        return False
    return sum([len(token) for token in content if type(token) is str]) <= _MAX_CACHED_CHARS


NO_FILTERS = Filters()

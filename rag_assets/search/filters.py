"""What a hit must be, whatever its score: filters on projects, documents and their metadata, as bound conditions."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, func, literal, not_, or_
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from rag_assets.db.models import Document, Project
from rag_assets.errors import UsageError

_ORDERED = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = ("$eq", "$ne", *_ORDERED, "$in", "$nin", "$exists", "$contains")
_COMBINED = ("$and", "$or", "$not")
_DEEPEST = 20
_LONGEST_GLOB = 1_000


@dataclass(frozen=True, slots=True)
class Filters:
    """All given conditions hold at once; within one, any of several values will do.

    `path_glob`: as in `--include`: `*.md` at any depth, with a slash from the top ("docs/**/*.md"); `*` and `?` do not
    cross a slash, `**` does. `metadata`: a mapping that the document's metadata
    contains (`{"author": "Ada", "tags": ["x"]}`), with comparisons where a value is a mapping of operators
    (`{"year": {"$gte": 2020, "$lt": 2025}}`; $eq $ne $gt $gte $lt $lte $in $nin $exists $contains), and `$and`,
    `$or`, `$not` around such mappings. A dot in a name goes deeper ("page.size"). Times are aware datetimes;
    ranges include their start and leave out their end.
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

    @property
    def only_projects(self) -> bool:
        return bool(self.projects) and not any(getattr(self, one.name) for one in fields(self)[1:])

    def conditions(self) -> list[ColumnElement[bool]]:
        """On `documents` and `projects`, which the statement joins; every value is bound.

        Raises UsageError for a filter that cannot be.
        """
        return list(self._conditions())

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        if self.projects:
            yield Project.name.in_(list(_strings("projects", self.projects)))
        if self.file_types:
            yield Document.file_type.in_(list(_strings("file_types", self.file_types)))
        if self.path_glob is not None:
            yield Document.file_path.op("~")(glob_to_regex(self.path_glob))
        if self.metadata:
            yield metadata_condition(self.metadata)
        for name, column in (("created", Document.created_at), ("updated", Document.updated_at)):
            start, end = (_time(f"{name}_{edge}", getattr(self, f"{name}_{edge}")) for edge in ("from", "to"))
            if start and end and start >= end:
                raise UsageError(f"{name}_from {start} is not before {name}_to {end}; swap them or widen the range.")
            if start:
                yield column >= start
            if end:
                yield column < end


def metadata_condition(wanted: Mapping[str, Any]) -> ColumnElement[bool]:
    """The condition of a metadata filter; see Filters."""
    return _metadata(wanted, 0)


def _metadata(wanted: Any, depth: int) -> ColumnElement[bool]:
    if depth > _DEEPEST:
        raise UsageError(f"the metadata filter is nested deeper than {_DEEPEST} levels; make it flatter.")
    if not isinstance(wanted, Mapping) or not wanted:
        raise UsageError(f'a metadata filter is {_shown(wanted)}; write a mapping like {{"author": "Ada"}}.')
    return and_(*(_entry(name, value, depth) for name, value in wanted.items()))


def _entry(name: Any, value: Any, depth: int) -> ColumnElement[bool]:
    if name == "$not":
        return not_(func.coalesce(_metadata(value, depth + 1), False))
    if name in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise UsageError(f"{name} in a metadata filter is {_shown(value)}; give it a list of filters.")
        return (and_ if name == "$and" else or_)(*(_metadata(one, depth + 1) for one in value))
    if not isinstance(name, str) or not name or name.startswith("$"):
        raise UsageError(
            f"the metadata filter does not know {_shown(name)}; name a field, or one of {', '.join(_COMBINED)}."
        )
    _as_json(name)
    if isinstance(value, Mapping) and any(str(key).startswith("$") for key in value):
        return and_(*(_compared(name, operator, operand) for operator, operand in value.items()))
    return _contains(name, value)


def _compared(name: str, operator: Any, operand: Any) -> ColumnElement[bool]:
    if operator in _ORDERED:
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise UsageError(f"{operator} of {name!r} compares with {_shown(operand)}; give a number or a string.")
        return _path_exists(name, f"? (@ {_ORDERED[operator]} $value)", operand)
    if operator == "$eq":
        return _contains(name, operand)
    if operator == "$ne":
        return not_(_contains(name, operand))
    if operator == "$contains":
        return _contains(name, operand if isinstance(operand, list) else [operand])
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list | tuple | set | frozenset) or not operand:
            raise UsageError(f"{operator} of {name!r} is {_shown(operand)}; give it a list of values.")
        among = or_(*(_contains(name, one) for one in operand))
        return among if operator == "$in" else not_(among)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise UsageError(f"$exists of {name!r} is {_shown(operand)}; give true or false.")
        exists = _path_exists(name, "", None)
        return exists if operand else not_(exists)
    raise UsageError(
        f"the metadata filter does not know {_shown(operator)} (at {name!r}); choose one of {', '.join(_OPERATORS)}."
    )


def _contains(name: str, value: Any) -> ColumnElement[bool]:
    contained: Any = value
    for part in reversed(name.split(".")):
        contained = {part: contained}
    return Document.doc_metadata.contains(cast(literal(_as_json(contained), Text), JSONB))


def _path_exists(name: str, condition: str, value: Any) -> ColumnElement[bool]:
    # The names are quoted as jsonpath has it, and the path as a whole is a bound value too.
    path = ".".join(["$", *(json.dumps(part) for part in name.split("."))])
    return func.jsonb_path_exists(
        Document.doc_metadata,
        cast(literal(f"{path} {condition}", Text), JSONPATH),
        cast(literal(_as_json({"value": value}), Text), JSONB),
        True,
    )


def glob_to_regex(glob: str) -> str:
    """The regular expression of a path glob, as PostgreSQL reads it."""
    if not glob or len(glob) > _LONGEST_GLOB or "\x00" in glob:
        raise UsageError(f"path_glob is {_shown(glob)}; write something like *.md or docs/**/*.rst.")
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


def _as_json(value: Any) -> str:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        text = "\\u0000"
    if "\\u0000" in text:
        raise UsageError(f"{_shown(value)} in a filter is no JSON that PostgreSQL takes; use plain JSON values.")
    return text


def _strings(name: str, values: Sequence[str]) -> Iterator[str]:
    if isinstance(values, str):
        values = (values,)
    for value in values:
        if not isinstance(value, str) or "\x00" in value:
            raise UsageError(f"{name} has {_shown(value)}; give names.")
        yield value


def _time(name: str, value: Any) -> datetime | None:
    if value is not None and not (isinstance(value, datetime) and value.tzinfo):
        raise UsageError(f"{name} is {_shown(value)}; give a datetime with a time zone.")
    return value


def _shown(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"

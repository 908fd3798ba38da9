"""Filters on a document's metadata, as conditions on its jsonb: every name and every value is bound."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, and_, any_, cast, func, literal, not_, or_
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from rag_assets.db.models import Document
from rag_assets.errors import UsageError
from rag_assets.validation import format_value

_ORDERED = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = ("$eq", "$ne", *_ORDERED, "$in", "$nin", "$exists", "$contains")
_COMBINED = ("$and", "$or", "$not")
_DEEPEST = 40
_MOST_VALUES = 5_000
_LONGEST_JSON = 1_000_000
# After an even number of backslashes: one that is escaped itself is no escape.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def metadata_condition(wanted: Any) -> ColumnElement[bool]:
    """The condition of a metadata filter; see `Filters`. Raises UsageError for one that cannot be."""
    _check_size(wanted)
    return _all_of(wanted)


def _check_size(wanted: Any) -> None:
    """Looked at without recursion, before anything recurses into it."""
    left, values = [(wanted, 0)], 0
    while left:
        value, depth = left.pop()
        values += 1
        if depth > _DEEPEST:
            raise UsageError(f"the metadata filter is nested deeper than {_DEEPEST} levels; make it flatter.")
        if values + len(left) > _MOST_VALUES:
            raise UsageError(f"the metadata filter has more than {_MOST_VALUES} values; ask for less at one time.")
        if isinstance(value, Mapping):
            left += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            left += [(one, depth + 1) for one in value]


def _all_of(wanted: Any) -> ColumnElement[bool]:
    if not isinstance(wanted, Mapping) or not wanted:
        raise UsageError(f'a metadata filter is {format_value(wanted)}; write a mapping like {{"author": "Ada"}}.')
    return and_(*(_entry(name, value) for name, value in wanted.items()))


def _entry(name: Any, value: Any) -> ColumnElement[bool]:
    if name == "$not":
        return not_(func.coalesce(_all_of(value), False))
    if name in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise UsageError(f"{name} in a metadata filter is {format_value(value)}; give it a list of filters.")
        return (and_ if name == "$and" else or_)(*map(_all_of, value))
    if not isinstance(name, str) or not name or name.startswith("$"):
        raise UsageError(
            f"the metadata filter does not know {format_value(name)}; name a field, or one of {', '.join(_COMBINED)}."
        )
    path = name.split(".")
    if len(path) > _DEEPEST:
        raise UsageError(
            f"the field {format_value(name)} is deeper than {_DEEPEST} levels; name one that there can be."
        )
    if isinstance(value, Mapping) and any(str(key).startswith("$") for key in value):
        return and_(*(_compared(path, operator, operand) for operator, operand in value.items()))
    return _contains(path, value)


def _compared(path: list[str], operator: Any, operand: Any) -> ColumnElement[bool]:
    name = format_value(".".join(path))
    if operator in _ORDERED:
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise UsageError(f"{operator} of {name} compares with {format_value(operand)}; give a number or a string.")
        return _path_exists(path, f"? (@ {_ORDERED[operator]} $value)", operand)
    if operator in ("$eq", "$ne"):
        equal = _equals_any(path, [operand])
        return equal if operator == "$eq" else not_(equal)
    if operator == "$contains":
        return _contains(path, list(operand) if isinstance(operand, list | tuple) else [operand])
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list | tuple | set | frozenset) or not operand:
            raise UsageError(f"{operator} of {name} is {format_value(operand)}; give it a list of values.")
        among = _equals_any(path, list(operand))
        return among if operator == "$in" else not_(among)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise UsageError(f"$exists of {name} is {format_value(operand)}; give true or false.")
        exists = _path_exists(path, "", None)
        return exists if operand else not_(exists)
    raise UsageError(
        f"the metadata filter does not know {format_value(operator)} (at {name}); "
        f"choose one of {', '.join(_OPERATORS)}."
    )


def _contains(path: list[str], value: Any) -> ColumnElement[bool]:
    return Document.doc_metadata.contains(cast(literal(_as_json(_nested(path, value)), Text), JSONB))


def _equals_any(path: list[str], values: list[Any]) -> ColumnElement[bool]:
    # The first is what the index serves; of lists and mappings, it holds also for those that have more in them.
    containing = _array([_nested(path, value) for value in values])
    found = Document.doc_metadata.op("#>", return_type=JSONB())(
        cast(literal(_encodable(path), ARRAY(Text)), ARRAY(Text))
    )
    return and_(Document.doc_metadata.op("@>")(any_(containing)), found == any_(_array(values)))


def _array(values: list[Any]) -> ColumnElement[Any]:
    return cast(literal([_as_json(value) for value in values], ARRAY(Text)), ARRAY(JSONB))


def _path_exists(path: list[str], condition: str, value: Any) -> ColumnElement[bool]:
    # The names are quoted as jsonpath has it, and the path as a whole is a bound value too.
    written = ".".join(["$", *(json.dumps(part) for part in _encodable(path))])
    return func.jsonb_path_exists(
        Document.doc_metadata,
        cast(literal(f"{written} {condition}", Text), JSONPATH),
        cast(literal(_as_json({"value": value}), Text), JSONB),
        True,
    )


def _nested(path: list[str], value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _encodable(path: list[str]) -> list[str]:
    _as_json(path)
    return path


def _as_json(value: Any) -> str:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        text = "\\u0000"
    if len(text) > _LONGEST_JSON or _NUL.search(text):
        raise UsageError(
            f"{format_value(value)} in a filter is no JSON that PostgreSQL takes; use plain, short JSON values."
        )
    return text

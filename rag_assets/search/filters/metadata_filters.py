"""Filters on a document's metadata, as SQL conditions on its jsonb; all names and values are bound."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, and_, any_, cast, func, literal, not_, or_
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from rag_assets.db.models import Document
from rag_assets.errors import UsageError
from rag_assets.validation import format_value

_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = ("$eq", "$ne", *_COMPARISONS, "$in", "$nin", "$exists", "$contains")
_LOGICAL = ("$and", "$or", "$not")
_MAX_DEPTH = 40
_MAX_VALUES = 5_000
_MAX_JSON_CHARS = 1_000_000
# Only after an even number of backslashes: an escaped backslash does not begin an escape.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def metadata_condition(wanted: Any) -> ColumnElement[bool]:
    """The condition of a metadata filter, see `Filters`; raises UsageError for a wrong one."""
    _check_size(wanted)
    return _mapping_condition(wanted)


def _check_size(wanted: Any) -> None:
    """Bound depth and size, without recursion, before other functions recurse into the filter."""
    pending, values = [(wanted, 0)], 0
    while pending:
        value, depth = pending.pop()
        values += 1
        if depth > _MAX_DEPTH:
            raise UsageError(f"the metadata filter is nested deeper than {_MAX_DEPTH} levels; make it flatter.")
        if values + len(pending) > _MAX_VALUES:
            raise UsageError(f"the metadata filter has more than {_MAX_VALUES} values; use fewer.")
        if isinstance(value, Mapping):
            pending += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            pending += [(one, depth + 1) for one in value]


def _mapping_condition(wanted: Any) -> ColumnElement[bool]:
    if not isinstance(wanted, Mapping) or not wanted:
        raise UsageError(f'a metadata filter is {format_value(wanted)}; write a mapping like {{"author": "Ada"}}.')
    return and_(*(_field_condition(name, value) for name, value in wanted.items()))


def _field_condition(name: Any, value: Any) -> ColumnElement[bool]:
    if name == "$not":
        return not_(func.coalesce(_mapping_condition(value), False))
    if name in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise UsageError(f"{name} in a metadata filter is {format_value(value)}; give it a list of filters.")
        return (and_ if name == "$and" else or_)(*map(_mapping_condition, value))
    if not isinstance(name, str) or not name or name.startswith("$"):
        raise UsageError(
            f"a metadata filter cannot have the name {format_value(name)}; "
            f"name a field, or one of {', '.join(_LOGICAL)}."
        )
    path = name.split(".")
    if len(path) > _MAX_DEPTH:
        raise UsageError(
            f"the field {format_value(name)} is deeper than {_MAX_DEPTH} levels; name a field nearer to the top."
        )
    if isinstance(value, Mapping) and any(str(key).startswith("$") for key in value):
        return and_(*(_operator_condition(path, operator, operand) for operator, operand in value.items()))
    return _contains(path, value)


def _operator_condition(path: list[str], operator: Any, operand: Any) -> ColumnElement[bool]:
    name = format_value(".".join(path))
    if operator in _COMPARISONS:
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise UsageError(f"{operator} of {name} compares with {format_value(operand)}; give a number or a string.")
        return _path_exists(path, f"? (@ {_COMPARISONS[operator]} $value)", operand)
    if operator in ("$eq", "$ne"):
        equal = _equals_any(path, [operand])
        return equal if operator == "$eq" else not_(equal)
    if operator == "$contains":
        return _contains(path, list(operand) if isinstance(operand, list | tuple) else [operand])
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list | tuple | set | frozenset) or not operand:
            raise UsageError(f"{operator} of {name} is {format_value(operand)}; give it a list of values.")
        is_among = _equals_any(path, list(operand))
        return is_among if operator == "$in" else not_(is_among)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise UsageError(f"$exists of {name} is {format_value(operand)}; give true or false.")
        exists = _path_exists(path, "", None)
        return exists if operand else not_(exists)
    raise UsageError(
        f"the metadata filter has no operator {format_value(operator)} (at {name}); "
        f"choose one of {', '.join(_OPERATORS)}."
    )


def _contains(path: list[str], value: Any) -> ColumnElement[bool]:
    return Document.doc_metadata.contains(cast(literal(_as_json(_nested(path, value)), Text), JSONB))


def _equals_any(path: list[str], values: list[Any]) -> ColumnElement[bool]:
    # The first condition is served by the index, but also holds for lists and mappings that contain more.
    containing = _array([_nested(path, value) for value in values])
    value = Document.doc_metadata.op("#>", return_type=JSONB())(
        cast(literal(_check_encodable(path), ARRAY(Text)), ARRAY(Text))
    )
    return and_(Document.doc_metadata.op("@>")(any_(containing)), value == any_(_array(values)))


def _array(values: list[Any]) -> ColumnElement[Any]:
    return cast(literal([_as_json(value) for value in values], ARRAY(Text)), ARRAY(JSONB))


def _path_exists(path: list[str], condition: str, value: Any) -> ColumnElement[bool]:
    # Names are quoted in the syntax of jsonpath, and the path is a bound value.
    path_text = ".".join(["$", *(json.dumps(part) for part in _check_encodable(path))])
    return func.jsonb_path_exists(
        Document.doc_metadata,
        cast(literal(f"{path_text} {condition}", Text), JSONPATH),
        cast(literal(_as_json({"value": value}), Text), JSONB),
        True,
    )


def _nested(path: list[str], value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _check_encodable(path: list[str]) -> list[str]:
    _as_json(path)
    return path


def _as_json(value: Any) -> str:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        text = "\\u0000"
    if len(text) > _MAX_JSON_CHARS or _NUL.search(text):
        raise UsageError(
            f"{format_value(value)} in a filter is not JSON that PostgreSQL accepts; use plain, short JSON values."
        )
    return text

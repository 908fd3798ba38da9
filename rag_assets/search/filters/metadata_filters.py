"""Filters on a document's metadata, as SQL conditions on its jsonb; all names and values are bound.

A list stands for its elements, on the way to a field and at its end. In jsonpath's lax mode, which unwraps lists, that
is what `$ ? (@."tags" == "a")` means; the index serves it whatever the number of lists.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Text,
    and_,
    any_,
    cast,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from rag_assets.db.models import Document
from rag_assets.errors import UsageError
from rag_assets.validation import format_value

_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = ("$eq", "$ne", *_COMPARISONS, "$in", "$nin", "$exists", "$contains")
_LOGICAL = ("$and", "$or", "$not")
_IS_MAPPING = '@.type() == "object"'
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
        return _negate(_mapping_condition(value))
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
    return _has(path, value)


def _operator_condition(path: list[str], operator: Any, operand: Any) -> ColumnElement[bool]:
    name = format_value(".".join(path))
    if operator in _COMPARISONS:
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise UsageError(f"{operator} of {name} compares with {format_value(operand)}; give a number or a string.")
        return _holds(f"{_member(path)} {_COMPARISONS[operator]} {_as_json(operand)}")
    if operator in ("$eq", "$ne"):
        equal = _equals_any(path, [operand])
        return equal if operator == "$eq" else _negate(equal)
    if operator == "$contains":
        return _has(path, list(operand) if isinstance(operand, list | tuple) else [operand])
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list | tuple | set | frozenset) or not operand:
            raise UsageError(f"{operator} of {name} is {format_value(operand)}; give it a list of values.")
        is_among = _equals_any(path, list(operand))
        return is_among if operator == "$in" else _negate(is_among)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise UsageError(f"$exists of {name} is {format_value(operand)}; give true or false.")
        exists = _holds(f"exists({_member(path)})")
        return exists if operand else _negate(exists)
    raise UsageError(
        f"the metadata filter has no operator {format_value(operator)} (at {name}); "
        f"choose one of {', '.join(_OPERATORS)}."
    )


def _has(path: list[str], wanted: Any) -> ColumnElement[bool]:
    """The field has the value, or all values of a list, or all fields of a mapping."""
    # Of a set or a foreign object, this raises the error.
    as_json = _as_json(_nested(path, wanted))
    condition = _holds(_has_value(_member(path), wanted))
    if _has_list_in_list(wanted):
        # jsonpath does not compare lists.
        contained = Document.doc_metadata.contains(cast(literal(as_json, Text), JSONB))
        return or_(contained, condition)
    return condition


def _has_value(field: str, wanted: Any, *, in_list: bool = False) -> str:
    """The predicate of jsonpath for `_has`; false for a list in a list."""
    if isinstance(wanted, Mapping):
        fields = [_has_value(f"@{_accessor(name)}", value) for name, value in wanted.items()]
        return f"exists({field} ? ({' && '.join(fields) or _IS_MAPPING}))"
    if isinstance(wanted, list | tuple):
        if in_list:
            return "1 == 2"
        values = [f"({_has_value(field, value, in_list=True)})" for value in wanted]
        return " && ".join(values) or f"exists({field})"
    return f"{field} == {_as_json(wanted)}"


def _has_list_in_list(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_list_in_list, value.values()))
    if not isinstance(value, list | tuple):
        return False
    return any(isinstance(one, list | tuple) or _has_list_in_list(one) for one in value)


def _equals_any(path: list[str], values: list[Any]) -> ColumnElement[bool]:
    scalars = [value for value in values if not isinstance(value, Mapping | list | tuple)]
    others = [value for value in values if isinstance(value, Mapping | list | tuple)]
    conditions: list[ColumnElement[bool]] = []
    if scalars:
        conditions.append(_holds(_join_any([f"{_member(path)} == {_as_json(value)}" for value in scalars])))
    if others:
        # jsonpath does not compare lists and mappings: compare the values that it finds, then the elements of lists.
        wanted = _array([_as_json(value) for value in others], JSONB)
        for found_path in (f"${_accessors(path)}", f"${_accessors(path)}[*]"):
            jsonpath = cast(literal(found_path, Text), JSONPATH)
            found = func.jsonb_path_query(Document.doc_metadata, jsonpath, type_=JSONB()).column_valued("found")
            conditions.append(select(literal_column("1")).where(found == any_(wanted)).exists())
    return or_(*conditions)


def _join_any(predicates: list[str]) -> str:
    """One predicate, which the index serves; it does not serve `@? ANY` of several paths.

    Joined in pairs: as a chain, thousands of values would nest as deep.
    """
    if len(predicates) == 1:
        return predicates[0]
    middle = len(predicates) // 2
    return f"({_join_any(predicates[:middle])} || {_join_any(predicates[middle:])})"


def _array(values: list[str], type_: Any) -> ColumnElement[Any]:
    return cast(literal(values, ARRAY(Text)), ARRAY(type_))


def _holds(predicate: str) -> ColumnElement[bool]:
    jsonpath = cast(literal(_filter(predicate), Text), JSONPATH)
    return Document.doc_metadata.op("@?", return_type=Boolean())(jsonpath)


def _negate(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return not_(func.coalesce(condition, False))


def _filter(predicate: str) -> str:
    return f"$ ? ({predicate})"


def _member(path: list[str]) -> str:
    return f"@{_accessors(path)}"


def _accessors(path: list[str]) -> str:
    return "".join(map(_accessor, path))


def _accessor(name: Any) -> str:
    # Quoted in the syntax of jsonpath, which is that of JSON; the path is a bound value.
    return f".{_as_json(str(name))}"


def _nested(path: list[str], value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


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

"""A reference implementation in Python of the filters on metadata, to compare the database with."""

from collections.abc import Mapping
from typing import Any

ORDERED = {"$gt": "__gt__", "$gte": "__ge__", "$lt": "__lt__", "$lte": "__le__"}


def json_equal(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not a number, and 1 equals 1.0."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(json_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(json_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return all(key in value and contains(value[key], wanted[key]) for key in wanted)
    if isinstance(value, list) and isinstance(wanted, list):
        return all(any(contains(one, other) for one in value) for other in wanted)
    return not isinstance(wanted, Mapping | list) and json_equal(value, wanted)


def values_through_lists(value: Any, path: list[str]) -> list[Any]:
    """The values at the path; lists along the path are replaced by their elements."""
    found = [value]
    for key in path:
        found = [one[key] for one in unwrap(found) if isinstance(one, Mapping) and key in one]
    return found


def unwrap(values: list[Any]) -> list[Any]:
    """The values, with each list replaced by its elements."""
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def has(values: list[Any], wanted: Any) -> bool:
    """Whether one of the values, or of the elements of lists among them, is as wanted; all of a list must be there."""
    if isinstance(wanted, Mapping):
        mappings = [one for one in unwrap(values) if isinstance(one, Mapping)]
        return any(all(has(values_through_lists(one, [key]), wanted[key]) for key in wanted) for one in mappings)
    if isinstance(wanted, list):
        return bool(values) and all(not isinstance(one, list) and has(values, one) for one in wanted)
    return any(json_equal(one, wanted) for one in unwrap(values))


def nests_lists(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(nests_lists, value.values()))
    return isinstance(value, list) and any(isinstance(one, list) or nests_lists(one) for one in value)


def matches_value(metadata: Any, path: list[str], wanted: Any) -> bool:
    nested = wanted
    for key in reversed(path):
        nested = {key: nested}
    return has(values_through_lists(metadata, path), wanted) or (nests_lists(wanted) and contains(metadata, nested))


def satisfies_order(value: Any, operator: str, operand: Any) -> bool:
    same = isinstance(value, str) if isinstance(operand, str) else isinstance(value, int | float)
    return same and not isinstance(value, bool) and bool(getattr(value, ORDERED[operator])(operand) is True)


def matches_operator(metadata: Any, path: list[str], operator: str, operand: Any) -> bool:
    found = values_through_lists(metadata, path)
    match operator:
        case "$eq":
            return any(json_equal(one, operand) for one in [*found, *unwrap(found)])
        case "$in":
            return any(matches_operator(metadata, path, "$eq", one) for one in operand)
        case "$contains":
            return matches_value(metadata, path, operand if isinstance(operand, list) else [operand])
        case "$exists":
            return bool(found) is operand
        case "$ne" | "$nin":
            return not matches_operator(metadata, path, {"$ne": "$eq", "$nin": "$in"}[operator], operand)
    return any(
        satisfies_order(float(one) if type(one) is int and type(operand) is float else one, operator, operand)
        for one in unwrap(found)
    )


def matches(metadata: Any, wanted: Mapping[str, Any]) -> bool:
    for name, value in wanted.items():
        if name == "$not":
            passed = not matches(metadata, value)
        elif name in ("$and", "$or"):
            passed = (all if name == "$and" else any)(matches(metadata, one) for one in value)
        elif isinstance(value, Mapping) and any(key.startswith("$") for key in value):
            passed = all(matches_operator(metadata, name.split("."), *item) for item in value.items())
        else:
            passed = matches_value(metadata, name.split("."), value)
        if not passed:
            return False
    return True

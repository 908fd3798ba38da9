"""A reference implementation in Python of the filters on metadata and paths, to compare the database with."""

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


def values_at(value: Any, path: list[str]) -> list[Any]:
    """The value at the path as a list of one, or an empty list; does not look into lists."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return []
        value = value[key]
    return [value]


def values_through_lists(value: Any, path: list[str]) -> list[Any]:
    """The values at the path as jsonpath finds them: lists along the path are replaced by their elements."""
    found = [value]
    for key in path:
        inside = [one for each in found for one in (each if isinstance(each, list) else [each])]
        found = [one[key] for one in inside if isinstance(one, Mapping) and key in one]
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def satisfies_order(value: Any, operator: str, operand: Any) -> bool:
    same = isinstance(value, str) if isinstance(operand, str) else isinstance(value, int | float)
    return same and not isinstance(value, bool) and bool(getattr(value, ORDERED[operator])(operand) is True)


def matches_operator(metadata: Any, path: list[str], operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return any(json_equal(one, operand) for one in values_at(metadata, path))
        case "$in":
            return any(json_equal(one, other) for one in values_at(metadata, path) for other in operand)
        case "$contains":
            wanted = operand if isinstance(operand, list) else [operand]
            return any(contains(one, wanted) for one in values_at(metadata, path))
        case "$exists":
            return bool(values_through_lists(metadata, path)) is operand
        case "$ne" | "$nin":
            return not matches_operator(metadata, path, {"$ne": "$eq", "$nin": "$in"}[operator], operand)
    found = [one for each in values_through_lists(metadata, path) for one in as_list(each)]
    # An element that is a list is searched too.
    return any(
        satisfies_order(float(one) if type(one) is int and type(operand) is float else one, operator, operand)
        for each in found
        for one in as_list(each)
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
            passed = any(contains(one, value) for one in values_at(metadata, name.split(".")))
        if not passed:
            return False
    return True


def matches_glob(glob: str, path: str) -> bool:
    pattern = glob.removeprefix("/") + ("**" if glob.endswith("/") else "")
    starts = [0] if "/" in glob.rstrip("/") else [0, *(n + 1 for n, letter in enumerate(path) if letter == "/")]
    return any(matches_pattern(pattern, path[start:]) for start in starts)


def matches_pattern(pattern: str, path: str) -> bool:
    if not pattern:
        return not path
    stars = len(pattern) - len(pattern.lstrip("*"))
    rest = pattern[stars:]
    if stars == 2 and rest.startswith("/"):
        return matches_pattern(rest[1:], path) or any(
            one == "/" and matches_pattern(rest[1:], path[n + 1 :]) for n, one in enumerate(path)
        )
    if stars:
        reach = len(path) if stars > 1 or "/" not in path else path.index("/")
        return any(matches_pattern(rest, path[n:]) for n in range(reach + 1))
    same = path[:1] == pattern[0] if pattern[0] != "?" else path[:1] not in ("", "/")
    return same and matches_pattern(pattern[1:], path[1:])

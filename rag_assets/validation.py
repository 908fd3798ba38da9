"""Checks of option values: each returns the value, or raises UsageError with the option's name and what to choose."""

import math
import operator
import reprlib
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from rag_assets.documents.text import is_text
from rag_assets.errors import UsageError


def check_names(name: str, value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, bytes | Mapping):
        raise UsageError(f"{name} is {format_value(value)}; give a name, or a list of names.")
    try:
        names = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        raise UsageError(f"{name} is {format_value(value)}; give a name, or a list of names.") from None
    if not names:
        raise UsageError(f"{name} is an empty list; name at least one, or leave it out.")
    for one in names:
        if not one or not is_text(one):
            raise UsageError(f"{name} has {format_value(one)}; give names.")
    return names


def check_weights(value: Any) -> tuple[float, float]:
    try:
        vector, text = (float(weight) if is_number(weight) else -1.0 for weight in value)
    except (TypeError, ValueError, OverflowError):
        vector, text = -1.0, -1.0
    if not (math.isfinite(vector) and math.isfinite(text) and min(vector, text) >= 0 and vector + text > 0):
        raise UsageError(
            f"weights is {format_value(value)}; give two numbers, of vector and of text, 0 or more, not both 0."
        )
    return vector, text


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {format_value(value)}; choose True or False.")
    return value


def check_integer(name: str, value: Any, least: int, most: int) -> int:
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(f"{name} is {format_value(value)}; choose {least} to {most}.")
    return number


def check_number(name: str, value: Any, least: float, most: float) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not least <= value <= most:
        raise UsageError(f"{name} is {format_value(value)}; choose a number from {least:g} to {most:g}.")
    return float(value)


def is_number(value: Any) -> bool:
    # Most values are plain floats, and isinstance with an abstract class takes ten times as long.
    return type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))


_MAX_CHARS = 80
_SHORT_REPR = reprlib.Repr()
_SHORT_REPR.maxlevel = 3
_SHORT_REPR.maxstring = _SHORT_REPR.maxother = _SHORT_REPR.maxlong = _MAX_CHARS


def format_value(value: Any) -> str:
    """A short repr for error messages: one line of ASCII, cut off where it is long or deeply nested."""
    try:
        text = _SHORT_REPR.repr(value).encode("ascii", "backslashreplace").decode()
    except ValueError:
        # An integer with more digits than Python converts to a string.
        text = type(value).__name__
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."

"""Values of options, each as it must be: raises UsageError, which names the option and says what to choose."""

import math
import operator
import reprlib
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from rag_assets.documents.text import is_text
from rag_assets.errors import UsageError


def names(name: str, value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, bytes | Mapping):
        raise UsageError(f"{name} is {shown(value)}; give a name, or a list of names.")
    try:
        given = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        raise UsageError(f"{name} is {shown(value)}; give a name, or a list of names.") from None
    if not given:
        raise UsageError(f"{name} is an empty list; name at least one, or leave it out.")
    for one in given:
        if not one or not is_text(one):
            raise UsageError(f"{name} has {shown(one)}; give names.")
    return given


def weights(value: Any) -> tuple[float, float]:
    try:
        vector, text = (float(weight) if is_number(weight) else -1.0 for weight in value)
    except (TypeError, ValueError, OverflowError):
        vector, text = -1.0, -1.0
    if not (math.isfinite(vector) and math.isfinite(text) and min(vector, text) >= 0 and vector + text > 0):
        raise UsageError(f"weights is {shown(value)}; give two numbers, of vector and of text, 0 or more, not both 0.")
    return vector, text


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {shown(value)}; choose True or False.")
    return value


def whole(name: str, value: Any, least: int, most: int) -> int:
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(f"{name} is {shown(value)}; choose {least} to {most}.")
    return number


def number(name: str, value: Any, least: float, most: float) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not least <= value <= most:
        raise UsageError(f"{name} is {shown(value)}; choose a number from {least:g} to {most:g}.")
    return float(value)


def is_number(value: Any) -> bool:
    # Mostly it is one of Python's own, and to ask an abstract class takes ten times as long.
    return type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))


_LONGEST = 80
_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxlevel = 3
_BRIEFLY.maxstring = _BRIEFLY.maxother = _BRIEFLY.maxlong = _LONGEST


def shown(value: Any) -> str:
    """On one line, in ASCII, and short; what is nested too deep or too long is not walked through."""
    try:
        text = _BRIEFLY.repr(value).encode("ascii", "backslashreplace").decode()
    except ValueError:
        # An integer of more digits than Python prints.
        text = type(value).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

"""A wrong value as an error message shows it, whatever it is."""

import reprlib
from typing import Any

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

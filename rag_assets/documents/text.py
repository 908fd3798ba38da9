"""Text as PostgreSQL and everything after it can hold it; offsets are counted in what comes out of here."""

import hashlib
import json
import re

_REFUSED_BY_POSTGRES = re.compile("[\x00\ud800-\udfff]")
_BYTE_ORDER_MARK = "\ufeff"
_LONGEST_TITLE = 500


def clean(text: str) -> str:
    """The text without NUL, lone surrogates and byte order marks, its line ends all `\\n`."""
    # Each test costs a fraction of the replacement, and most texts need none.
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _BYTE_ORDER_MARK in text:
        text = text.replace(_BYTE_ORDER_MARK, "")
    if not is_text(text):
        text = _REFUSED_BY_POSTGRES.sub("", text)
    return text


def is_text(value: object) -> bool:
    """Whether PostgreSQL can hold it: no NUL, no lone surrogate."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_title(title: str | None) -> str | None:
    """One line of at most 500 characters, or None where nothing is left."""
    if title is None:
        return None
    # A title of megabytes (a broken file) is cut before it is split into words.
    line = " ".join(clean(title[: 20 * _LONGEST_TITLE]).split())
    return line[:_LONGEST_TITLE].rstrip() or None


def clean_value(value: object, depth: int = 6) -> object:
    """The same for whatever a format's metadata holds: JSON-able, finite, short."""
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict) and depth:
        pairs = list(value.items())[:100]
        return {clean(str(key))[:200]: clean_value(item, depth - 1) for key, item in pairs}
    if isinstance(value, list | tuple) and depth:
        return [clean_value(item, depth - 1) for item in value[:100]]
    return clean(str(value)[:2000])


def content_hash(text: str) -> bytes:
    """The sha256 of the text's UTF-8, 32 bytes: vectors are stored under it, so it must never change."""
    return hashlib.sha256(text.encode()).digest()


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits that say what something was made of; the parts are JSON-able values.

    The order of a mapping's keys does not matter, every other difference does; what JSON cannot hold
    raises TypeError or ValueError, because a fingerprint that depends on a `repr` would not be stable.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

"""Text that PostgreSQL can store. All offsets count characters of cleaned text."""

import hashlib
import json
import re

_REFUSED_BY_POSTGRES = re.compile("[\x00\ud800-\udfff]")
_BYTE_ORDER_MARK = "\ufeff"
_MAX_TITLE_CHARS = 500


def clean(text: str) -> str:
    """Remove NUL, lone surrogates and byte order marks, and make every line end `\\n`."""
    # A test costs a fraction of a replacement, and most texts need none.
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _BYTE_ORDER_MARK in text:
        text = text.replace(_BYTE_ORDER_MARK, "")
    if not is_text(text):
        text = _REFUSED_BY_POSTGRES.sub("", text)
    return text


def is_text(value: object) -> bool:
    """Whether it is text that PostgreSQL can store: no NUL, no lone surrogate."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_title(title: str | None) -> str | None:
    """The title as one line of at most 500 characters, or None if it is empty."""
    if title is None:
        return None
    # The title of a broken file can have megabytes.
    line = " ".join(clean(title[: 20 * _MAX_TITLE_CHARS]).split())
    return line[:_MAX_TITLE_CHARS].rstrip() or None


def clean_value(value: object, depth: int = 6) -> object:
    """A value of a document's metadata, made fit for JSON: clean text, finite numbers, bounded in size and depth."""
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
    """The sha256 of the text in UTF-8, 32 bytes. Vectors are stored under it, so it must never change."""
    return hashlib.sha256(text.encode()).digest()


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits that identify what something was made from; the parts are values that JSON can hold.

    The order of a mapping's keys does not matter, any other difference does. Other values raise TypeError or
    ValueError: a fingerprint of a `repr` would not be stable.
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

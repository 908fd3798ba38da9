"""JSON, JSON Lines and nearly JSON as an outline of "key: value" lines, with their escapes resolved."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_MAX_INDENT: Final = 8
_MAX_INLINE_CHARS: Final = 200  # of a list of scalars that stays on one line
# RFC 7464 begins each record with a record separator; an array without its brackets has commas.
_SPACE: Final = re.compile(r"[\s\x1e,]*")
_MAX_DEPTH: Final = 1000  # of nearly JSON
_MAX_LENIENT_CHARS: Final = 16_000_000  # A text of this length takes some ten seconds.


def read_json(text: str) -> tuple[str, dict[str, Any]]:
    """The outline and the metadata: escapes (\\u00fc, \\n) and brackets would hide words from searches.

    Several values in one file are the records of JSON Lines, whatever the file is called. JSON with comments, trailing
    commas or broken parts loses none of its words.
    """
    text = text.lstrip("\ufeff")
    try:
        return "\n".join(outline(json.loads(text, strict=False))) + "\n", {}
    except (ValueError, RecursionError):
        pass
    records = list(_records(text))
    broken = sum(not is_valid for _, is_valid in records)
    if len(records) > 1 and broken * 2 < len(records):
        metadata: dict[str, Any] = {"record_count": len(records)}
        return "\n\n".join(record for record, _ in records) + "\n", metadata | (
            {"broken_records": broken} if broken else {}
        )
    return lenient_outline(text), {"parsed": False}


def read_jsonl(text: str) -> tuple[str, dict[str, Any]]:
    content, metadata = read_json(text)
    return content, metadata or {"record_count": 1}


def _records(text: str) -> Iterator[tuple[str, bool]]:
    """The values that follow each other, as outlines; from the first broken one on, each line is a record."""
    decoder = json.JSONDecoder(strict=False)
    at = _skip_space(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict | list | str):
            break
        yield "\n".join(outline(value)), True
        at = _skip_space(text, end)
    # Searching the next value from every bracket on would take quadratic time.
    for line in text[at:].split("\n"):
        if not line.strip(" \t\r,"):
            continue
        try:
            value = json.loads(line.strip(" \t\r,"))
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict | list | str):
            yield "\n".join(outline(value)), True
        else:
            yield lenient_outline(line).rstrip("\n"), False


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def outline(value: Any) -> Iterator[str]:
    # An explicit stack: a document that json.loads can parse must not exhaust Python's recursion limit here.
    stack: list[tuple[int, str, Any]] = [(0, "", value)]
    while stack:
        depth, label, item = stack.pop()
        indent = "  " * min(depth, _MAX_INDENT)
        if isinstance(item, dict) and item:
            if label:
                yield f"{indent}{label}"
            inner = depth + bool(label)
            stack.extend((inner, f"{key}:", child) for key, child in reversed(item.items()))
        elif isinstance(item, list) and item:
            if all(not isinstance(child, dict | list) for child in item) and sum(map(_width, item)) < _MAX_INLINE_CHARS:
                yield f"{indent}{label} {', '.join(map(_format_scalar, item))}".rstrip()
                continue
            if label:
                yield f"{indent}{label}"
            inner = depth + bool(label)
            stack.extend((inner, "-", child) for child in reversed(item))
        else:
            yield from _lines(indent, label, _format_scalar(item))


def _lines(indent: str, label: str, value: str) -> Iterator[str]:
    lines = value.splitlines() or [""]
    yield f"{indent}{label} {lines[0]}".rstrip() if label else f"{indent}{lines[0]}"
    yield from (f"{indent}  {line}" if label else f"{indent}{line}" for line in lines[1:])


def _width(value: Any) -> int:
    return len(value) if isinstance(value, str) else 8


def _format_scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value in ({}, []) else json.dumps(value)


# The tokens of JSON, JSON5 and broken JSON. A string without its closing quote ends with its line. No alternative can
# begin inside what another one took, so the whole takes linear time.
_TOKEN: Final = re.compile(
    r"\s+|,|(?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?)|(?P<open>[{\[])|(?P<close>[}\]])|(?P<colon>:)"
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?)|(?P<bare>[^\s\"'{}\[\],:][^\"{}\[\],:\n]*)",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|x([0-9a-fA-F]{2})|(.)|$)", re.DOTALL
)
_UNICODE_ESCAPE: Final = re.compile(r"(?<!\\)\\u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?")
_SIMPLE_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\n", "b": "", "f": "\n", "0": "", "\n": ""}


def lenient_outline(text: str) -> str:
    """The outline of text that is only nearly JSON: JSON5, or JSON that is broken or truncated.

    It holds every word of the text, comments too. Text without keys stays as it is, but for its \\u escapes.
    """
    start = _skip_space(text, 0)
    is_near = len(text) <= _MAX_LENIENT_CHARS and text[start : start + 1] in {"{", "[", "/"}
    lines = list(_lenient_lines(text)) if is_near else []
    if not lines:
        return _UNICODE_ESCAPE.sub(_unescape, text)
    return "\n".join(lines) + "\n"


def _lenient_lines(text: str) -> Iterator[str]:
    """Nothing where there is no key, or too many levels."""
    lines: list[str] = []
    opened: list[str] = []  # The brackets that are open, or the label before one.
    pending: str | None = None  # A string or word that may turn out to be a key.
    label = ""
    has_key = False

    def emit(value: str) -> None:
        nonlocal label
        own = label or ("-" if opened and opened[-1] == "[" else "")
        lines.extend(_lines("  " * min(len(opened) - 1, _MAX_INDENT), own, value))
        label = ""

    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        if kind == "colon" and pending is not None:
            label, pending, has_key = f"{pending}:", None, True
            continue
        if pending is not None:
            emit(pending)
            pending = None
        if kind == "string":
            pending = _ESCAPE.sub(_unescape, match[0][1:].removesuffix(match[0][0]))
        elif kind == "bare":
            pending = _UNICODE_ESCAPE.sub(_unescape, match[0].rstrip())
        elif kind == "comment":
            lines.extend(_lines("  " * min(max(0, len(opened) - 1), _MAX_INDENT), "", match[0]))
        elif kind == "open":
            if label or (opened and opened[-1] == "["):
                emit("")
            opened.append(match[0])
            if len(opened) > _MAX_DEPTH:
                return
        elif kind == "close" and opened:
            if label:
                emit("")
            opened.pop()
    if pending is not None or label:
        emit(pending or "")
    if has_key:
        yield from lines


def _unescape(match: re.Match[str]) -> str:
    high, low, *rest = match.groups()
    if high:
        code = int(high, 16)
        if low and 0xD800 <= code < 0xDC00:
            return chr(0x10000 + ((code - 0xD800) << 10) + int(low, 16) - 0xDC00)
        return chr(code) + (chr(int(low, 16)) if low else "")
    if rest and rest[0]:
        return chr(int(rest[0], 16))
    return _SIMPLE_ESCAPES.get(rest[1], rest[1]) if rest and rest[1] else ""

"""Values of a database: as parts of a path and back, as text, as JSON for metadata, and as vectors."""

import datetime as dt
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from rag_assets.documents.sources.base import escape_name, unescape_name
from rag_assets.documents.sources.rows.address import ALL_KEYS
from rag_assets.errors import SourceError

_ESCAPED = str.maketrans({"%": "%25", "/": "%2F", "!": "%21", "\\": "%5C"})
# What stands for an empty id: a lone % is no other one.
_EMPTY = "%"
_MOST_PATH_CHARS = 600

_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    Decimal: Decimal,
    UUID: UUID,
    dt.date: dt.date.fromisoformat,
    dt.datetime: dt.datetime.fromisoformat,
    dt.time: dt.time.fromisoformat,
    bytes: bytes.fromhex,
    bool: lambda text: text == "True",
}


def id_to_path(ids: tuple[Any, ...]) -> str:
    """The path of a row: its id, or the parts of a composite one with slashes between them."""
    path = "/".join(map(_to_part, ids))
    if len(path) > _MOST_PATH_CHARS:
        raise SourceError(
            f"the row with the id {path[:40]!r}… has an id of more than {_MOST_PATH_CHARS} characters; "
            "choose a shorter column as id, such as a hash of it"
        )
    return path


def path_to_id(path: str, types: tuple[type, ...]) -> tuple[Any, ...]:
    """Raises ValueError for a path that is not one of such a row."""
    parts = path.split("/")
    if len(parts) != len(types):
        raise ValueError(f"{path!r} does not have {len(types)} parts")
    return tuple(_from_part(part, type_) for part, type_ in zip(parts, types, strict=True))


def id_type(value: object) -> type:
    if isinstance(value, memoryview | bytearray):
        return bytes
    return next((known for known in (bool, dt.datetime) if isinstance(value, known)), type(value))


def _to_part(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex() or _EMPTY
    text = value.isoformat() if isinstance(value, dt.datetime | dt.date | dt.time) else str(value)
    part = escape_name(text).translate(_ESCAPED)
    if part in (".", ".."):
        part = part.replace(".", "%2E")
    return part or _EMPTY


def _from_part(part: str, type_: type) -> Any:
    text = "" if part == _EMPTY else unescape_name(unquote(part))
    return _FROM_TEXT.get(type_, str)(text)


def to_text(value: Any) -> str:
    """A value as a part of a document's text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return json.dumps(to_json(value), ensure_ascii=False)
    return str(value)


def to_json(value: Any) -> Any:
    """A value as metadata has it, so that filters compare numbers as numbers and dates in ISO 8601."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [to_json(item) for item in value]
        return sorted(items, key=repr) if isinstance(value, set | frozenset) else items
    return str(value)


def to_metadata(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Metadata of columns; one named like `extra.*` has JSON objects, whose keys become metadata of their own."""
    found: dict[str, Any] = {}
    for name, value in values:
        if not name.endswith(ALL_KEYS):
            found[name] = to_json(value)
            continue
        column = name.removesuffix(ALL_KEYS)
        with suppress(ValueError):
            value = json.loads(value) if isinstance(value, str) else value
        if isinstance(value, dict):
            found |= to_json(value)
        elif value is not None:
            found[column] = to_json(value)
    return found


def to_version(value: Any) -> str:
    """A version as text; "" for NULL, which means unknown."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        # The session's time zone can be another one tomorrow.
        value = value.astimezone(dt.UTC)
    return escape_name(to_text(value))[:200]

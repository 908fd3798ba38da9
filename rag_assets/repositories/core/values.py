"""Validate values against the columns that they go into, before anything is written."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, LargeBinary, String, Table, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from rag_assets.documents.text import clean, content_hash
from rag_assets.errors import UsageError


def table_of(model: type[DeclarativeBase]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


def validate_row(model: type[DeclarativeBase], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by column name, with cleaned texts and the hash of `content`.

    Raises UsageError that names the column, the value and what to give instead.
    """
    table = table_of(model)
    row = {}
    for name, value in values.items():
        if name not in table.c:
            raise UsageError(f"{table.name} has no column {name!r}; choose from: {', '.join(table.c.keys())}.")
        row[name] = validate_value(table.c[name], value)
    if "content" in row and "content_hash" in table.c:
        row["content_hash"] = content_hash(row["content"])
    return row


def validate_value(column: Column[Any], value: Any) -> Any:
    """The value as the column stores it; raises UsageError that names the column and the value."""
    if value is None:
        if column.nullable:
            return None
        raise _usage_error(column, value, "give a value")
    match column.type:
        case Uuid():
            return parse_id(str(column), value)
        case String():
            return _validate_text(column, value)
        case Integer():
            return _validate_integer(column, value)
        case Float():
            return _validate_number(column, value)
        case DateTime():
            if not isinstance(value, datetime) or value.tzinfo is None:
                raise _usage_error(column, value, "give a datetime with its time zone")
            return value
        case LargeBinary():
            if not isinstance(value, bytes):
                raise _usage_error(column, value, "give bytes")
            return value
        case JSONB():
            return _validate_json(column, value)
        case _:
            return value


def parse_id(name: str, value: Any) -> UUID:
    """The UUID, from a UUID or its text; raises UsageError that names `name`."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (TypeError, ValueError, AttributeError):
        raise UsageError(f"{name} is {_format_value(value)}; give a UUID.") from None


def _validate_text(column: Column[Any], value: Any) -> str:
    if not isinstance(value, str):
        raise _usage_error(column, value, "give a text")
    cleaned = clean(value)
    longest = getattr(column.type, "length", None)
    if longest is not None:
        if not cleaned.strip():
            raise _usage_error(column, value, "give a text that is not empty")
        if len(cleaned) > longest:
            raise _usage_error(column, value, f"it has {len(cleaned)} characters, at most {longest} fit")
    return cleaned


def _validate_integer(column: Column[Any], value: Any) -> int:
    bits = 63 if isinstance(column.type, BigInteger) else 31
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**bits) <= value < 2**bits:
        raise _usage_error(column, value, f"give a whole number of at most {bits} bits")
    return value


def _validate_number(column: Column[Any], value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _usage_error(column, value, "give a finite number")
    return float(value)


def _validate_json(column: Column[Any], value: Any) -> Any:
    """jsonb refuses the characters that text refuses, NaN and infinities."""
    match value:
        case str():
            return clean(value)
        case Mapping():
            return {clean(str(key)): _validate_json(column, item) for key, item in value.items()}
        case list() | tuple():
            return [_validate_json(column, item) for item in value]
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            raise _usage_error(column, value, "give a JSON value")


def _usage_error(column: Column[Any], value: Any, advice: str) -> UsageError:
    return UsageError(f"{column} is {_format_value(value)}; {advice}.")


def _format_value(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

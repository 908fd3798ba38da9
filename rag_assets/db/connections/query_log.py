"""Logs SQL statements: all of them, for development, or those that took too long.

Of texts and bytes only the length is logged: they may be a token, a password or private text.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event

from rag_assets.db.connections.options import EngineOptions

log = logging.getLogger("rag_assets.db.queries")

_STARTED = "rag_assets_started"
_MAX_STATEMENT_LENGTH = 2_000
_MAX_VALUES = 20


def log_queries(engine: Engine, options: EngineOptions) -> None:
    """Log each statement at INFO and slow ones at WARNING, as the options say; with neither set it costs nothing."""
    slow_ms = options.slow_query_ms
    if not options.log_queries and slow_ms is None:
        return

    def before(connection: Connection, *_: Any) -> None:
        connection.info[_STARTED] = time.perf_counter()

    def after(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> None:
        took_ms = (time.perf_counter() - connection.info.pop(_STARTED, time.perf_counter())) * 1000
        slow = slow_ms is not None and took_ms >= slow_ms
        if slow or options.log_queries:
            log.log(
                logging.WARNING if slow else logging.INFO,
                "%s%.1f ms (%s): %s %s",
                "slow: " if slow else "",
                took_ms,
                options.application_name,
                " ".join(statement.split())[:_MAX_STATEMENT_LENGTH],
                f"{len(parameters)} rows" if executemany else format_parameters(parameters),
            )

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)


def format_parameters(parameters: Any) -> str:
    """Numbers, times and ids as they are; of other values their type and length."""
    if isinstance(parameters, Mapping):
        named = [f"{name}={_format_value(value)}" for name, value in list(parameters.items())[:_MAX_VALUES]]
        return "{" + ", ".join(named) + "}"
    if isinstance(parameters, Sequence) and not isinstance(parameters, str | bytes):
        return "[" + ", ".join(map(_format_value, parameters[:_MAX_VALUES])) + "]"
    return ""


def _format_value(value: Any) -> str:
    if value is None or type(value).__name__ in ("bool", "int", "float", "UUID", "datetime", "date", "timedelta"):
        return str(value)
    length = f"[{len(value)}]" if hasattr(value, "__len__") else ""
    return f"<{type(value).__name__}{length}>"

"""What is asked of the database, in the log: everything while developing, or what took too long.

Values of text and bytes are never logged, only their lengths: a token, a password or what somebody wrote may be in
any of them.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event

from rag_assets.db.connections.options import EngineOptions

log = logging.getLogger("rag_assets.db.queries")

_STARTED = "rag_assets_started"
_SHOWN_STATEMENT = 2_000
_SHOWN_VALUES = 20


def log_queries(engine: Engine, options: EngineOptions) -> None:
    """Log as the options ask for: each statement at INFO, slow ones at WARNING; costs nothing where neither is set."""
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
                " ".join(statement.split())[:_SHOWN_STATEMENT],
                f"{len(parameters)} rows" if executemany else shown(parameters),
            )

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)


def shown(parameters: Any) -> str:
    """Parameters with numbers, times and ids as they are, and of everything else its kind and length."""
    if isinstance(parameters, Mapping):
        named = [f"{name}={_shown_value(value)}" for name, value in list(parameters.items())[:_SHOWN_VALUES]]
        return "{" + ", ".join(named) + "}"
    if isinstance(parameters, Sequence) and not isinstance(parameters, str | bytes):
        return "[" + ", ".join(map(_shown_value, parameters[:_SHOWN_VALUES])) + "]"
    return ""


def _shown_value(value: Any) -> str:
    if value is None or type(value).__name__ in ("bool", "int", "float", "UUID", "datetime", "date", "timedelta"):
        return str(value)
    length = f"[{len(value)}]" if hasattr(value, "__len__") else ""
    return f"<{type(value).__name__}{length}>"

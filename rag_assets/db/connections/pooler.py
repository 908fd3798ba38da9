"""How an engine's connections are opened and limited, directly or through a pooler.

A pooler in transaction mode may run each transaction in another server session. Through one there are no prepared
statements and no startup parameters, and timeouts are set at the start of every transaction.
"""

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import OperationalError
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.urls import looks_like_pooler

_READ_ONLY = "25006"
_KEY = "rag_assets_connection_setup"
# How long the request to cancel a statement may take.
_CANCEL_S = 2.0


class ConnectionSetup:
    """Opens an engine's connections; `pooled` is a guess from the URL until the first connection shows it."""

    def __init__(self, url: URL, options: EngineOptions) -> None:
        self.options = options
        self.pooled = looks_like_pooler(url) if options.pooler is None else options.pooler
        self.known = options.pooler is not None
        timeouts = options.timeouts_ms()
        # JIT compilation of a statement takes longer than a search.
        at_start = timeouts | ({"jit": "off"} if options.autocommit else {})
        self._at_start = " ".join(f"-c {name}={value}" for name, value in at_start.items())
        self._in_transaction = "; ".join(f"SET LOCAL {name} = {value}" for name, value in timeouts.items())

    def attach(self, engine: Engine) -> None:
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._detect, insert=True)
        # A standby may serve reads, and a listener would cost each search time.
        if not self.options.autocommit:
            event.listen(engine, "handle_error", _treat_read_only_as_lost)
        event.listen(engine, "invalidate", _cancel_unfinished)
        if self._in_transaction:
            event.listen(engine, "begin", self._set_timeouts)

    def is_pooled(self, engine: Engine) -> bool:
        """Whether connections go through a pooler; connects to find out, if need be."""
        if not self.known:
            engine.connect().close()
        return self.pooled

    def _connect(self, dialect: Any, _record: ConnectionPoolEntry, args: Any, parameters: dict[str, Any]) -> Any:
        parameters.pop("pgbouncer", None)
        if not self.pooled:
            given = parameters.get("options", "")
            direct = {"options": f"{self._at_start} {given}".strip()} if self._at_start else {}
            try:
                return dialect.connect(*args, **parameters | direct)
            except OperationalError as error:
                if self.known or "unsupported startup parameter" not in str(error):
                    raise
                self.pooled = True
        return dialect.connect(*args, **parameters)

    def _detect(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Compare process ids: a pooler makes up the one that it sends to clients."""
        driver = record.driver_connection
        assert driver is not None
        if not self.known:
            cursor = connection.cursor()
            cursor.execute("SELECT pg_backend_pid()")
            row = cursor.fetchone()
            cursor.close()
            connection.rollback()
            assert row is not None
            self.pooled |= row[0] != driver.info.backend_pid
            self.known = True
        if self.pooled:
            # Also for connections that were opened before the pooler was detected.
            driver.prepare_threshold = None

    def _set_timeouts(self, connection: Connection) -> None:
        driver = connection.connection
        # SET LOCAL has no effect outside a transaction.
        if self.pooled and not driver.dbapi_connection.autocommit:  # type: ignore[union-attr]
            cursor = driver.cursor()
            cursor.execute(self._in_transaction)
            cursor.close()


def _treat_read_only_as_lost(context: ExceptionContext) -> None:
    """After a failover the old primary still answers, but refuses writes: connect again."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _cancel_unfinished(_connection: DBAPIConnection, record: ConnectionPoolEntry, _error: BaseException | None) -> None:
    """Cancel the statement that an interrupted run leaves behind; the server would execute it to its end."""
    driver = record.driver_connection
    # psycopg cancels on KeyboardInterrupt alone, and Dagster raises an exception of its own.
    if isinstance(driver, psycopg.Connection) and driver.info.transaction_status is TransactionStatus.ACTIVE:
        with suppress(psycopg.Error):
            driver.cancel_safe(timeout=_CANCEL_S)


def get_connection_setup(engine: Engine) -> ConnectionSetup | None:
    """None for an engine that this package did not make."""
    setup = engine.get_execution_options().get(_KEY)
    assert setup is None or isinstance(setup, ConnectionSetup)
    return setup


def setup_option(setup: ConnectionSetup) -> dict[str, ConnectionSetup]:
    return {_KEY: setup}

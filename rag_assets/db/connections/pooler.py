"""How one engine's connections are opened and limited, past a pooler or through one.

A pooler in transaction mode gives each transaction another server process. So there: no prepared statements, no
parameters at the start of a session, and timeouts that are set at the start of every transaction.
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
from rag_assets.db.connections.urls import names_pooler

_READ_ONLY = "25006"
_KEY = "rag_assets_link"
# How long the server may take to hear that a statement is cancelled.
_CANCEL_S = 2.0


class Link:
    """What is known of the way from an engine to its server; `pooled` becomes certain with the first connection."""

    def __init__(self, url: URL, options: EngineOptions) -> None:
        self.options = options
        self.pooled = names_pooler(url) if options.pooler is None else options.pooler
        self.known = options.pooler is not None
        timeouts = options.timeouts_ms()
        # Compiling a statement takes longer than a search may.
        at_start = timeouts | ({"jit": "off"} if options.autocommit else {})
        self._at_start = " ".join(f"-c {name}={value}" for name, value in at_start.items())
        self._in_transaction = "; ".join(f"SET LOCAL {name} = {value}" for name, value in timeouts.items())

    def attach(self, engine: Engine) -> None:
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._look, insert=True)
        # Who only reads may read there; and listeners have their cost in each search.
        if not self.options.autocommit:
            event.listen(engine, "handle_error", _leave_old_primary)
        event.listen(engine, "invalidate", _cancel_unfinished)
        if self._in_transaction:
            event.listen(engine, "begin", self._limit)

    def is_pooled(self, engine: Engine) -> bool:
        """For certain: opens a connection where none was opened yet."""
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

    def _look(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """A pooler tells clients a process id of its own making: that gives it away, whatever its address."""
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
            # For those, too, that were opened before it was known.
            driver.prepare_threshold = None

    def _limit(self, connection: Connection) -> None:
        driver = connection.connection
        # Outside a transaction nothing is local.
        if self.pooled and not driver.dbapi_connection.autocommit:  # type: ignore[union-attr]
            cursor = driver.cursor()
            cursor.execute(self._in_transaction)
            cursor.close()


def _leave_old_primary(context: ExceptionContext) -> None:
    """After a failover the old primary answers still, and refuses to write: as good as broken."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _cancel_unfinished(_connection: DBAPIConnection, record: ConnectionPoolEntry, _error: BaseException | None) -> None:
    """A run that is ended leaves its statement behind, which the server would go on with to its end, for nobody."""
    driver = record.driver_connection
    # psycopg does the like by itself, but for KeyboardInterrupt alone, and Dagster has one of its own.
    if isinstance(driver, psycopg.Connection) and driver.info.transaction_status is TransactionStatus.ACTIVE:
        with suppress(psycopg.Error):
            driver.cancel_safe(timeout=_CANCEL_S)


def link_of(engine: Engine) -> Link | None:
    """None for an engine that was not made here."""
    link = engine.get_execution_options().get(_KEY)
    assert link is None or isinstance(link, Link)
    return link


def link_option(link: Link) -> dict[str, Link]:
    return {_KEY: link}

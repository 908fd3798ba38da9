"""How an engine's connections are opened and limited, directly or through a pooler.

A pooler in transaction mode may run each transaction in another server session. Through one there are no prepared
statements and no startup parameters, and timeouts are set at the start of every transaction.
"""

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import OperationalError
from psycopg.pq import Conninfo, TransactionStatus
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.urls import looks_like_pooler
from rag_assets.db.session.pinned_settings import (
    REPORTED_SETTINGS,
    SESSION_SETTINGS,
    settings_to_correct,
    startup_options,
)
from rag_assets.db.session.priority import lower_background_session

_READ_ONLY = "25006"
# Of pgbouncer, and of Amazon's RDS Proxy.
_OPTIONS_REFUSED = ("unsupported startup parameter", "command-line options")
# The process id; the limit of transactions, which servers have since 17; and the search path that the session needs: ""
# where it finds the extension, NULL where there is none.
_LOOK = (
    "SELECT pg_backend_pid(), current_setting('transaction_timeout', true), "
    "(SELECT CASE WHEN n.nspname = ANY (current_schemas(true)) THEN '' "
    "ELSE concat_ws(', ', nullif(current_setting('search_path'), ''), quote_ident(n.nspname)) END "
    "FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector')"
)
_KEY = "rag_assets_connection_setup"
# How long the request to cancel a statement may take.
_CANCEL_S = 2.0


class ConnectionSetup:
    """Opens an engine's connections; `pooled` is a guess from the URL until the first connection shows it."""

    def __init__(self, url: URL, options: EngineOptions) -> None:
        self.options = options
        self.pooled = looks_like_pooler(url) if options.pooler is None else options.pooler
        self.known = options.pooler is not None
        pinned = {name: value for name, value in REPORTED_SETTINGS.items() if name != "client_encoding"}
        self._at_start = startup_options(options.startup_settings())
        self._pinned = startup_options(pinned | SESSION_SETTINGS)
        limits = options.timeouts_ms().items()
        self._in_transaction = "; ".join(f"SET LOCAL {name} = {value}" for name, value in limits)
        # None until a connection has found the extension.
        self._search_path: str | None = None
        self._limits_transactions = False
        self._is_pinned = False

    def attach(self, engine: Engine) -> None:
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._detect, insert=True)
        # A standby may serve reads, and a listener would cost each search time.
        if not self.options.autocommit:
            event.listen(engine, "handle_error", _treat_read_only_as_lost)
        event.listen(engine, "invalidate", _cancel_unfinished)
        event.listen(engine, "begin", self._set_in_transaction)

    def is_pooled(self, engine: Engine) -> bool:
        """Whether connections go through a pooler; connects to find out, if need be."""
        if not self.known:
            engine.connect().close()
        return self.pooled

    def _connect(self, dialect: Any, _record: ConnectionPoolEntry, args: Any, parameters: dict[str, Any]) -> Any:
        parameters.pop("pgbouncer", None)
        if not self.pooled:
            given = parameters.get("options") or _default_options()
            try:
                return dialect.connect(*args, **parameters | {"options": f"{self._at_start} {given} {self._pinned}"})
            except OperationalError as error:
                if self.known or not any(words in str(error) for words in _OPTIONS_REFUSED):
                    raise
                self.pooled = True
        return dialect.connect(*args, **parameters)

    def _detect(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Look at the session once: whose it is, and whether it finds the extension; then set what differs.

        A pooler makes up the process id that it sends to clients.
        """
        driver = record.driver_connection
        assert driver is not None
        if not self.known or self._search_path is None:
            cursor = connection.cursor()
            cursor.execute(_LOOK)
            row = cursor.fetchone()
            cursor.close()
            connection.rollback()
            assert row is not None
            backend_pid, transaction_timeout, self._search_path = row
            self._limits_transactions = transaction_timeout not in (None, "0")
            if not self.known:
                self.pooled |= backend_pid != driver.info.backend_pid
                self.known = True
        if self.pooled and not self._is_pinned:
            self._pin_in_transactions(connection)
        settings = settings_to_correct(driver.info.parameter_status)
        if self._search_path and not self.pooled:
            settings["search_path"] = self._search_path
        if self._limits_transactions and not self.pooled and not self.options.autocommit:
            # Servers before 17 refuse this setting at the start.
            settings["transaction_timeout"] = "0"
        if settings:
            cursor = connection.cursor()
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
            cursor.close()
            connection.commit()
        if self.pooled:
            # Also for connections that were opened before the pooler was detected.
            driver.prepare_threshold = None
        else:
            lower_background_session(driver)

    def _pin_in_transactions(self, connection: DBAPIConnection) -> None:
        """Set what poolers do not know of, and the database or the role sets otherwise, in each transaction."""
        cursor = connection.cursor()
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", ([*SESSION_SETTINGS],))
        found = dict(cursor.fetchall())
        cursor.close()
        connection.rollback()
        differing = {name: value for name, value in SESSION_SETTINGS.items() if found[name] != value}
        pinned = (f"SET LOCAL {name} = '{value}'" for name, value in differing.items())
        self._in_transaction = "; ".join(filter(None, (self._in_transaction, *pinned)))
        self._is_pinned = True

    def _set_in_transaction(self, connection: Connection) -> None:
        driver = connection.connection
        # SET LOCAL has no effect outside a transaction.
        if self.pooled and self._in_transaction and not driver.dbapi_connection.autocommit:  # type: ignore[union-attr]
            cursor = driver.cursor()
            cursor.execute(self._in_transaction)
            cursor.close()


def _treat_read_only_as_lost(context: ExceptionContext) -> None:
    """After a failover the old primary still answers, but refuses writes: connect again."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _default_options() -> str:
    """PGOPTIONS, or the options of the service that PGSERVICE names; an explicit value takes their place."""
    found = (option.val for option in Conninfo.get_defaults() if option.keyword == b"options")
    return (next(found, None) or b"").decode(errors="replace")


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

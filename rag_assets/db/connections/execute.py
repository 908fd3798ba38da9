"""CompiledStatement statements sent straight to the driver: SQLAlchemy's own way costs more than a short search."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ManagesConnection

from rag_assets.db.connections.compiled import CompiledStatement
from rag_assets.db.connections.pool import FairPool
from rag_assets.db.connections.sqlalchemy_internals import (
    await_,
    invalidate_pool,
    may_have_listeners,
    pings_before_use,
)
from rag_assets.db.session.server_errors import leave_out_values


class AutocommitRunner:
    """Runs statements without a transaction, each on a pooled connection that is returned at once.

    SQLAlchemy's Connection around each of them would cost more than all else that the client does for a search.
    """

    def __init__(
        self, engine: Engine, prepare: Callable[[ManagesConnection], None], sender: "Sender | None" = None
    ) -> None:
        """`prepare` is called with the pooled connection before each statement, which `sender` sends."""
        self._engine = engine
        self._prepare = prepare
        self.sender = sender

    @staticmethod
    def supports(engine: Engine) -> bool:
        """Whether nothing is lost without SQLAlchemy's Connection: there are no listeners, and no ping before use."""
        events, pool_events = engine.dispatch, engine.pool.dispatch
        listeners = events.before_cursor_execute or events.engine_connect or pool_events.checkout or pool_events.checkin
        return isinstance(engine.pool, FairPool) and not pings_before_use(engine.pool) and not listeners

    def scalar(self, statement: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.scalar(statement)

    def run(self, statement: CompiledStatement, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        pool = self._engine.pool
        assert isinstance(pool, FairPool)
        try:
            entry = pool.lend_connected()
        except psycopg.Error as error:
            # The database is away, or refuses the connection.
            raise _to_sqlalchemy_error(error, statement, is_disconnect=False) from error
        try:
            self._prepare(entry)
            send_by = send if self.sender is None else self.sender.send
            return send_by(entry.driver_connection, statement, values)
        except psycopg.Error as error:
            is_disconnect = self._engine.dialect.is_disconnect(error, entry.dbapi_connection, None)  # type: ignore[arg-type]
            if is_disconnect:
                pool.invalidate_entry(entry, error)
            raise _to_sqlalchemy_error(error, statement, is_disconnect=is_disconnect) from error
        except BaseException as error:
            # An interrupt that the driver does not know of may leave the statement unfinished.
            driver = entry.driver_connection
            if driver is not None and driver.info.transaction_status is not TransactionStatus.IDLE:
                entry.invalidate(error)
            raise
        finally:
            pool.take_back(entry)


StatementRunner: TypeAlias = Connection | AutocommitRunner


def run_compiled(
    connection: StatementRunner, statement: CompiledStatement, values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """All rows of a statement, as tuples; raises the errors that SQLAlchemy raises.

    Rows come in the binary format, which psycopg parses faster: select types only that it reads in that format.
    """
    if isinstance(connection, AutocommitRunner):
        return connection.run(statement, values)
    if may_have_listeners(connection) and connection.dispatch.before_cursor_execute:
        # For example the query log.
        return [tuple(row) for row in connection.exec_driver_sql(statement.sql, statement.fixed | values)]
    try:
        return send(connection.connection.driver_connection, statement, values)
    except psycopg.Error as error:
        pooled = connection.connection
        is_disconnect = connection.dialect.is_disconnect(error, pooled.dbapi_connection, None)  # type: ignore[arg-type]
        if is_disconnect:
            invalidate_pool(connection.engine, pooled, error)
            connection.invalidate(error)
        raise _to_sqlalchemy_error(error, statement, is_disconnect=is_disconnect) from error


class Sender(Protocol):
    """Sends the statements of a runner."""

    def send(self, driver: Any, statement: CompiledStatement, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of the statement, on this connection of the driver."""
        ...


def send(driver: Any, statement: CompiledStatement, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement, as it is."""
    values = statement.fixed | values
    if isinstance(driver, psycopg.AsyncConnection):
        rows: list[tuple[Any, ...]] = await_(_send_async(driver, statement.sql, values))
        return rows
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor(binary=True) as cursor:
        return cursor.execute(statement.sql, values).fetchall()


def send_both(
    driver: Any, first: CompiledStatement, given: dict[str, Any], statement: CompiledStatement, values: dict[str, Any]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of two statements that the server runs in one transaction, sent in one round trip."""
    both = (first.sql, first.fixed | given), (statement.sql, statement.fixed | values)
    if isinstance(driver, psycopg.AsyncConnection):
        found: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]] = await_(_send_both_async(driver, *both))
        return found
    assert isinstance(driver, psycopg.Connection)
    # Not a transaction block: what a pipeline sends until it waits is one transaction by itself.
    with driver.cursor(binary=True) as one, driver.cursor(binary=True) as other:
        with driver.pipeline():
            one.execute(*both[0])
            other.execute(*both[1])
        return one.fetchall(), other.fetchall()


async def _send_both_async(
    driver: "psycopg.AsyncConnection[Any]", first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    async with driver.cursor(binary=True) as one, driver.cursor(binary=True) as other:
        async with driver.pipeline():
            await one.execute(*first)
            await other.execute(*second)
        return await one.fetchall(), await other.fetchall()


async def _send_async(
    driver: "psycopg.AsyncConnection[Any]", sql: str, values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    # One coroutine for all steps: each one awaited by itself would switch out of the greenlet and back.
    async with driver.cursor(binary=True) as cursor:
        await cursor.execute(sql, values)
        return await cursor.fetchall()


def _to_sqlalchemy_error(error: psycopg.Error, statement: CompiledStatement, *, is_disconnect: bool) -> DBAPIError:
    leave_out_values(error)
    wrapped = DBAPIError.instance(
        statement.sql, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=is_disconnect
    )
    assert isinstance(wrapped, DBAPIError)
    return wrapped


def held_pages(engine: Engine, statement: Select[Any], name: str, page_rows: int) -> Iterator[list[Any]]:
    """Pages of rows of a held cursor: sorted once, in the server, with no open transaction.

    `name` is that of the cursor, and says in an error what needs a session.
    """
    from sqlalchemy.dialects import postgresql

    from rag_assets.db.connections.engines import direct_engine

    query = statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    direct = direct_engine(engine, f"paging through {name.replace('_', ' ')}")
    with direct.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor = driver.cursor(name, withhold=True)
        try:
            cursor.execute(str(query), query.params)
            while page := cursor.fetchmany(page_rows):
                yield page
        finally:
            # A lost session has taken its cursor along.
            with suppress(psycopg.OperationalError):
                cursor.close()

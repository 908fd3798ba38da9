"""Compiled statements sent straight to the driver: a search or an append is too short for more on its way."""

from collections.abc import Callable
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ManagesConnection
from sqlalchemy.util import await_

from rag_assets.db.connections.compiled import Compiled
from rag_assets.db.connections.pool import FairPool


class Single:
    """Statements that need no transaction, each on a connection of the engine's pool that it gives back at once.

    What SQLAlchemy puts around a connection for that while costs more than all else that the client does for a search.
    """

    def __init__(self, engine: Engine, prepare: Callable[[ManagesConnection], None]) -> None:
        """`prepare` is called with each connection before each statement."""
        self._engine = engine
        self._prepare = prepare

    @staticmethod
    def serves(engine: Engine) -> bool:
        """Whether nothing is lost by it: nobody listens, and nothing is asked of a connection before it is used."""
        pool, heard, of_pool = engine.pool, engine.dispatch, engine.pool.dispatch
        listened = heard.before_cursor_execute or heard.engine_connect or of_pool.checkout or of_pool.checkin
        return isinstance(pool, FairPool) and not pool._pre_ping and not listened

    def scalar(self, statement: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.scalar(statement)

    def run(self, statement: Compiled, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        pool = self._engine.pool
        assert isinstance(pool, FairPool)
        try:
            entry = pool.lend()
        except psycopg.Error as error:
            # None could be had: the database is away, or refuses.
            raise _as_sqlalchemys(error, statement, lost=False) from error
        try:
            self._prepare(entry)
            return _sent(entry.driver_connection, statement, values)
        except psycopg.Error as error:
            lost = self._engine.dialect.is_disconnect(error, entry.dbapi_connection, None)  # type: ignore[arg-type]
            if lost:
                pool.lose(entry, error)
            raise _as_sqlalchemys(error, statement, lost=lost) from error
        except BaseException as error:
            # Interrupted in the middle, by what the driver does not know of.
            driver = entry.driver_connection
            if driver is not None and driver.info.transaction_status is not TransactionStatus.IDLE:
                entry.invalidate(error)
            raise
        finally:
            pool.take_back(entry)


# What a statement is sent on.
Sender: TypeAlias = Connection | Single


def run_compiled(connection: Sender, statement: Compiled, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement, as tuples; errors are those that SQLAlchemy raises.

    They come in the binary form, which is read in less time: of types, ask for those that the driver reads in it.
    """
    if isinstance(connection, Single):
        return connection.run(statement, values)
    # As SQLAlchemy asks it; a connection that nobody listens to does not even make the list of listeners.
    if (connection._has_events or connection.engine._has_events) and connection.dispatch.before_cursor_execute:
        # A log of queries, for example.
        return [tuple(row) for row in connection.exec_driver_sql(statement.sql, statement.fixed | values)]
    try:
        return _sent(connection.connection.driver_connection, statement, values)
    except psycopg.Error as error:
        # The pool must hear of a broken connection, and callers of one kind of error.
        lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
        if lost:
            # As SQLAlchemy does it: connections as old as this one are broken too, and nobody is to run into them.
            connection.engine.pool._invalidate(connection.connection, error)
            connection.invalidate(error)
        raise _as_sqlalchemys(error, statement, lost=lost) from error


def _sent(driver: Any, statement: Compiled, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    values = statement.fixed | values
    if isinstance(driver, psycopg.AsyncConnection):
        rows: list[tuple[Any, ...]] = await_(_fetched(driver, statement.sql, values))
        return rows
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor(binary=True) as cursor:
        return cursor.execute(statement.sql, values).fetchall()


async def _fetched(driver: "psycopg.AsyncConnection[Any]", sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    # Nothing of it is awaited by itself: each such step would be one more way out of the greenlet and back.
    async with driver.cursor(binary=True) as cursor:
        await cursor.execute(sql, values)
        return await cursor.fetchall()


def _as_sqlalchemys(error: psycopg.Error, statement: Compiled, *, lost: bool) -> DBAPIError:
    made = DBAPIError.instance(
        statement.sql, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost
    )
    assert isinstance(made, DBAPIError)
    return made

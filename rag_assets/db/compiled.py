"""Statements sent straight to the driver: a search or an append is too short for more on its way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import ClauseElement, ColumnElement, Connection, Text, and_, literal_column, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_

# As a literal is written in standard SQL.
_QUOTED = Text().literal_processor(DefaultDialect())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as the driver takes it, and the values that are part of it."""

    sql: str
    fixed: dict[str, Any]


def compile_statement(statement: ClauseElement) -> Compiled:
    """To be sent many times; values of the statement's own types only, which the driver takes as they are."""
    return _as_sent(_made(statement))


def constant(value: str) -> ColumnElement[str]:
    """A text of ours that is the same whenever the statement is sent: written out, since each value sent has its cost.

    Never a user's: those are bound.
    """
    assert _QUOTED is not None
    return literal_column(_QUOTED(value), Text)


def _made(statement: ClauseElement) -> Any:
    return statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]


def _as_sent(made: Any) -> Compiled:
    return Compiled(str(made), {name: value for name, value in made.params.items() if value is not None})


def run_compiled(connection: Connection, statement: Compiled, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement, as tuples; errors are those that SQLAlchemy raises.

    They come in the binary form, which is read in less time: of types, ask for those that the driver reads in it.
    """
    # As SQLAlchemy asks it; a connection that nobody listens to does not even make the list of listeners.
    if (connection._has_events or connection.engine._has_events) and connection.dispatch.before_cursor_execute:
        # A log of queries, for example.
        return [tuple(row) for row in connection.exec_driver_sql(statement.sql, statement.fixed | values)]
    driver = connection.connection.driver_connection
    values = statement.fixed | values
    try:
        if isinstance(driver, psycopg.AsyncConnection):
            rows: list[tuple[Any, ...]] = await_(_fetched(driver, statement.sql, values))
            return rows
        assert isinstance(driver, psycopg.Connection)
        with driver.cursor(binary=True) as cursor:
            return cursor.execute(statement.sql, values).fetchall()
    except psycopg.Error as error:
        # The pool must hear of a broken connection, and callers of one kind of error.
        lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
        if lost:
            # As SQLAlchemy does it: connections as old as this one are broken too, and nobody is to run into them.
            connection.engine.pool._invalidate(connection.connection, error)
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement.sql, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost
        ) from error


async def _fetched(driver: "psycopg.AsyncConnection[Any]", sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    # Nothing of it is awaited by itself: each such step would be one more way out of the greenlet and back.
    async with driver.cursor(binary=True) as cursor:
        await cursor.execute(sql, values)
        return await cursor.fetchall()


class Clauses:
    """Conditions that differ from others in their values alone are equal, and share one compiled statement."""

    def __init__(self, clauses: Sequence[ColumnElement[bool]]) -> None:
        self.clauses = clauses
        # What SQLAlchemy's own cache of statements goes by, without the whole statement having to be put together.
        key = and_(true(), *clauses)._generate_cache_key()
        assert key is not None
        self._key = key.key
        self._bound = key.bindparams

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clauses) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __bool__(self) -> bool:
        return bool(self.clauses)

    def named(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: bound.effective_value for name, bound in zip(names, self._bound, strict=True)}


NO_CLAUSES = Clauses([])


@dataclass(frozen=True, slots=True)
class Conditional:
    """A compiled statement, and how the values of its conditions are called in it."""

    statement: Compiled
    names: Sequence[str]

    def run(self, connection: Connection, conditions: Clauses, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return run_compiled(connection, self.statement, conditions.named(self.names) | values if self.names else values)


def compile_conditional(statement: ClauseElement, conditions: Clauses) -> Conditional:
    made = _made(statement)
    return Conditional(_as_sent(made), [made.bind_names[bound] for bound in conditions._bound])

"""Statements sent straight to the driver: a search through the graph is too short for more on its way."""

from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as the driver takes it, and the values that are part of it."""

    sql: str
    fixed: dict[str, Any]


def compile_statement(statement: Select[Any]) -> Compiled:
    """To be sent many times; values of the statement's own types only, which the driver takes as they are."""
    made = statement.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    return Compiled(str(made), {name: value for name, value in made.params.items() if value is not None})


def run_compiled(connection: Connection, statement: Compiled, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement, as tuples; errors are those that SQLAlchemy raises."""
    if connection.dispatch.before_cursor_execute:
        # Somebody listens: a log of queries, for example.
        return [tuple(row) for row in connection.exec_driver_sql(statement.sql, statement.fixed | values)]
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement.sql, statement.fixed | values)
        return list(cursor.fetchall())
    except psycopg.Error as error:
        driver = connection.connection.dbapi_connection
        # The pool must hear of a broken connection, and callers of one kind of error.
        lost = connection.dialect.is_disconnect(error, driver, cursor)  # type: ignore[arg-type]
        if lost:
            # As SQLAlchemy does it: connections as old as this one are broken too, and nobody is to run into them.
            connection.engine.pool._invalidate(connection.connection, error)
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement.sql, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost
        ) from error
    finally:
        cursor.close()

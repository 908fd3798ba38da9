"""Binary COPY of rows into a temporary table, from which set-based statements read them."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from psycopg import AsyncConnection, Error, sql
from psycopg.types.json import Jsonb
from sqlalchemy import Column, Connection, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from rag_assets.db.connections.sqlalchemy_internals import await_
from rag_assets.db.session.server_errors import leave_out_values
from rag_assets.db.spaces.vector_codec import register_vector_type, vector_cursor

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_COPY_LISTED_FILES = (
    "COPY rag.listed_files (listing_id, position, part, size_bytes, file_path, version, readers, readers_error) "
    "FROM STDIN (FORMAT BINARY)"
)
_LISTED_FILE_TYPES = ("uuid", "int8", "int4", "int8", "text", "text", "text[]", "text")


def copy_rows(
    connection: Connection, name: str, columns: Sequence[Column[Any]], rows: Iterable[Sequence[Any]]
) -> Table:
    """Copy rows into a new temporary table with these columns, which is dropped at the end of the transaction.

    Use a `name` once per transaction.
    """
    incoming = _incoming_table(name, tuple(columns))
    types = [_type_name(column.type) for column in columns]
    create = sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
        sql.Identifier(name),
        sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(type_))
            for column, type_ in zip(columns, types, strict=True)
        ),
    )
    copy_from = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier(name))
    driver = connection.connection.driver_connection
    try:
        if isinstance(driver, AsyncConnection):
            # Called inside `run_sync`: the event loop does other work while this waits for the server.
            await_(_copy_async(driver, create, copy_from, types, rows))
            return incoming
        assert driver is not None
        with vector_cursor(driver) if "vector" in types else driver.cursor() as cursor:
            cursor.execute(create)
            with cursor.copy(copy_from) as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(_adapt_row(row))
    except Error as error:
        # SQLAlchemy's event for errors does not see this one.
        leave_out_values(error)
        raise
    return incoming


# A statement over a new Table would be compiled again, and kept, for each batch.
@lru_cache(maxsize=256)
def _incoming_table(name: str, columns: tuple[Column[Any], ...]) -> Table:
    return Table(name, MetaData(), *(Column(column.name, column.type) for column in columns))


async def _copy_async(
    driver: AsyncConnection[Any],
    create: sql.Composed,
    copy_from: sql.Composed,
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    async with driver.cursor(binary="vector" in types) as cursor:
        if "vector" in types:
            await register_vector_type(driver, cursor)
        await cursor.execute(create)
        async with cursor.copy(copy_from) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(_adapt_row(row))


def _adapt_row(row: Sequence[Any]) -> list[Any]:
    return [Jsonb(value) if isinstance(value, dict) else value for value in row]


def _type_name(type_: TypeEngine[Any]) -> str:
    return type_.compile(dialect=_DIALECT).lower()


def copy_listed_files(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Copy rows straight into `listed_files`."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(_COPY_LISTED_FILES) as copy:
        copy.set_types(_LISTED_FILE_TYPES)
        for row in rows:
            copy.write_row(row)

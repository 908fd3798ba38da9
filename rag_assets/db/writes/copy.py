"""Binary COPY of rows into a temporary table, from where set-based statements take them."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb
from sqlalchemy import Column, Connection, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import await_only

from rag_assets.db.spaces.vector_codec import know_vectors, vector_cursor

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def copy_rows(
    connection: Connection, name: str, columns: Sequence[Column[Any]], rows: Iterable[Sequence[Any]]
) -> Table:
    """Send rows into a new temporary table of these columns, which goes with the transaction.

    One open transaction per connection and `name`: the table lives until its end.
    """
    incoming = Table(name, MetaData(), *(Column(column.name, column.type) for column in columns))
    types = [_type_name(column.type) for column in columns]
    created = sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
        sql.Identifier(name),
        sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(type_))
            for column, type_ in zip(columns, types, strict=True)
        ),
    )
    copied = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier(name))
    driver = connection.connection.driver_connection
    if isinstance(driver, AsyncConnection):
        # Inside `run_sync`: the loop goes on with other work while this waits for the server.
        await_only(_copy_async(driver, created, copied, types, rows))
        return incoming
    assert driver is not None
    with vector_cursor(driver) if "vector" in types else driver.cursor() as cursor:
        cursor.execute(created)
        with cursor.copy(copied) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(_sendable(row))
    return incoming


async def _copy_async(
    driver: AsyncConnection[Any],
    created: sql.Composed,
    copied: sql.Composed,
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    async with driver.cursor(binary="vector" in types) as cursor:
        if "vector" in types:
            await know_vectors(driver, cursor)
        await cursor.execute(created)
        async with cursor.copy(copied) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(_sendable(row))


def _sendable(row: Sequence[Any]) -> list[Any]:
    return [Jsonb(value) if isinstance(value, dict) else value for value in row]


def _type_name(type_: TypeEngine[Any]) -> str:
    return type_.compile(dialect=_DIALECT).lower()

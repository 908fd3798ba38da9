"""Cursors that send and receive pgvector's vectors in binary, without changing the connection for its next user."""

from typing import Any

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor
from psycopg.types import TypeInfo


def vector_cursor(driver: Connection[Any]) -> Cursor[Any]:
    """A binary cursor that knows the type `vector`: arrays go in, `pgvector.Vector` comes out.

    Registered on the cursor, not on the connection: that one goes back to a pool, where SQLAlchemy's own types
    expect vectors as text.
    """
    from pgvector.psycopg.vector import register_vector_info

    info = driver.adapters.types.get("vector")
    if info is None:
        info = TypeInfo.fetch(driver, "vector")
        assert info is not None
        info.register(driver)
    cursor = driver.cursor(binary=True)
    register_vector_info(cursor, info)  # type: ignore[arg-type]
    return cursor


async def know_vectors(driver: AsyncConnection[Any], cursor: AsyncCursor[Any]) -> None:
    """Let a cursor of an event loop send arrays as vectors in binary."""
    from pgvector.psycopg.vector import register_vector_info

    info = await TypeInfo.fetch(driver, "vector")
    assert info is not None
    # To the cursor alone, as above; `set_types` looks the name up among the types of the connection.
    info.register(driver)
    register_vector_info(cursor, info)  # type: ignore[arg-type]

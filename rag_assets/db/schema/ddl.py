"""Statements for what no migration can know of: the partitions of the vectors, and the type that a space has."""

from psycopg import sql
from sqlalchemy import Connection

from rag_assets.db.models import SCHEMA, EmbeddingSpace


def execute(connection: Connection, statement: sql.Composable) -> None:
    """Run one composed statement in the connection's transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement)


def create_partition(connection: Connection, table: str, space_id: int) -> None:
    execute(
        connection,
        sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES IN ({})").format(
            sql.Identifier(SCHEMA, table), sql.Identifier(SCHEMA, "embeddings"), sql.Literal(space_id)
        ),
    )


def drop_table(connection: Connection, table: str) -> None:
    execute(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table)))


def vector_type(space: EmbeddingSpace) -> sql.Composed:
    """`vector(384)` or `halfvec(384)`: what vectors are compared as, and what the view shows."""
    # An index of signs only proposes candidates: the vectors themselves are whole.
    type_ = "halfvec" if space.storage == "halfvec" else "vector"
    return sql.SQL("{}({})").format(sql.SQL(type_), sql.Literal(space.dimensions))

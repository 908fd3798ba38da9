"""DDL at run time, which no migration can contain: the partitions of spaces, and the types of their vectors."""

from psycopg import sql
from sqlalchemy import Connection

from rag_assets.db.models import SCHEMA, EmbeddingSpace


def execute_ddl(connection: Connection, statement: sql.Composable) -> None:
    """Run a composed statement in the connection's transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement)


def create_partition(connection: Connection, table: str, space_id: int) -> None:
    execute_ddl(
        connection,
        sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES IN ({})").format(
            sql.Identifier(SCHEMA, table), sql.Identifier(SCHEMA, "embeddings"), sql.Literal(space_id)
        ),
    )
    # A partition does not inherit triggers for statements.
    execute_ddl(
        connection,
        sql.SQL("SELECT {}({}, 'record_vector_changes')").format(
            sql.Identifier(SCHEMA, "record_changes_of"), sql.Literal(f"{SCHEMA}.{table}")
        ),
    )


def drop_table(connection: Connection, table: str) -> None:
    execute_ddl(connection, sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, table)))


def vector_type(space: EmbeddingSpace) -> sql.Composed:
    """`vector(384)` or `halfvec(384)`: the type in which vectors are compared, and that of the view's column."""
    # Binary quantization only proposes candidates, which are compared by their full vectors.
    type_ = "halfvec" if space.storage == "halfvec" else "vector"
    return sql.SQL("{}({})").format(sql.SQL(type_), sql.Literal(space.dimensions))

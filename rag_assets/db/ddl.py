"""Statements for what no migration can know of: the partitions, and the view of the live space."""

from psycopg import sql
from sqlalchemy import Connection

from rag_assets.db.models import SCHEMA, EmbeddingSpace

LIVE_VIEW = sql.Identifier(SCHEMA, "live_chunks")
LIVE_COLUMNS = {
    "id": "uuid",
    "content": "text",
    "embedding": "vector",
    "metadata": "jsonb",
    "source": "text",
    "project": "text",
    "document_id": "uuid",
}


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
    """`vector(384)` or `halfvec(384)`: what the index is on and what the view shows."""
    return sql.SQL("{}({})").format(sql.SQL(space.storage), sql.Literal(space.dimensions))


def live_view(space: EmbeddingSpace, partition: str) -> sql.Composed:
    """The stable view for the outside world: chunks with the vectors of this space and of no other."""
    return sql.SQL(
        "CREATE VIEW {view} AS "
        "SELECT c.id, c.chunk_text AS content, e.embedding::{type} AS embedding, "
        "d.metadata || c.metadata || jsonb_build_object('title', d.title, 'heading_path', c.heading_path, "
        "'chunk_index', c.chunk_index, 'char_start', c.char_start, 'char_end', c.char_end) AS metadata, "
        "d.file_path AS source, p.name AS project, c.document_id "
        "FROM {schema}.document_chunks c "
        "JOIN {schema}.documents d ON d.id = c.document_id "
        "JOIN {schema}.projects p ON p.id = d.project_id "
        "JOIN {partition} e ON e.content_hash = c.content_hash "
        "WHERE c.chunking = {chunking}"
    ).format(
        view=LIVE_VIEW,
        type=vector_type(space),
        schema=sql.Identifier(SCHEMA),
        partition=sql.Identifier(SCHEMA, partition),
        chunking=sql.Literal(space.chunking),
    )


def recreate_live_view(connection: Connection, space: EmbeddingSpace, partition: str) -> None:
    # Dropped and made anew, not replaced: the type of the embedding column may have changed.
    execute(connection, sql.SQL("DROP VIEW IF EXISTS {}").format(LIVE_VIEW))
    execute(connection, live_view(space, partition))

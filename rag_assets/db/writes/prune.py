"""Deletes what nothing refers to any more: vectors, failures, and chunks of chunkings that no space uses."""

from sqlalchemy import Engine, delete, select

from rag_assets.db.models import (
    DocumentChunk,
    DocumentChunking,
    EmbeddingFailure,
    EmbeddingSpace,
    Lexeme,
    QueryVector,
    StagedChunking,
    WordStatistics,
)
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.pending import has_text_in_use
from rag_assets.db.spaces.vector_deletion import lock_vectors_for_deletion

# Query vectors to keep per space, the newest ones.
KEPT_QUERIES = 10_000


def prune_space(engine: Engine, space: EmbeddingSpace) -> int:
    """Delete the space's orphans; returns the number of deleted vectors. The caller holds the lock on its vectors."""
    vectors = partition(space.id)
    # Found in the indexes alone, a twentieth of the pages of the tables: usually there are none.
    orphans = (
        select(vectors.c.space_id, vectors.c.content_hash)
        .where(vectors.c.space_id == space.id, ~has_text_in_use(space, vectors.c.content_hash))
        .cte("orphans")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    of_orphan = (vectors.c.space_id == orphans.c.space_id) & (vectors.c.content_hash == orphans.c.content_hash)
    with engine.begin() as connection:
        if space.kind == "chunks":
            lock_vectors_for_deletion(connection)
        deleted = connection.execute(delete(vectors).where(of_orphan))
        connection.execute(
            delete(EmbeddingFailure).where(
                EmbeddingFailure.space_id == space.id, ~has_text_in_use(space, EmbeddingFailure.content_hash)
            )
        )
        stale = select(QueryVector.query_hash).where(QueryVector.space_id == space.id)
        connection.execute(
            delete(QueryVector).where(
                QueryVector.space_id == space.id,
                QueryVector.query_hash.in_(stale.order_by(QueryVector.created_at.desc()).offset(KEPT_QUERIES)),
            )
        )
    if space.kind == "chunks":
        prune_chunkings(engine)
    return deleted.rowcount


def prune_chunkings(engine: Engine) -> int:
    """Delete the chunks of chunkings that no space uses any more; returns the number of deleted chunks."""
    in_use = select(EmbeddingSpace.chunking).where(EmbeddingSpace.status != "retired")
    with engine.begin() as connection:
        connection.execute(delete(Lexeme).where(Lexeme.chunking.not_in(in_use)))
        connection.execute(delete(WordStatistics).where(WordStatistics.chunking.not_in(in_use)))
        connection.execute(delete(DocumentChunking).where(DocumentChunking.chunking.not_in(in_use)))
        connection.execute(delete(StagedChunking).where(StagedChunking.chunking.not_in(in_use)))
        deleted = connection.execute(delete(DocumentChunk).where(DocumentChunk.chunking.not_in(in_use)))
    return deleted.rowcount

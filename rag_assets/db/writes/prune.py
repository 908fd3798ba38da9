"""Removal of what nothing points to any more: vectors, failures, and chunks of chunkings that no space uses."""

from sqlalchemy import Engine, delete, select

from rag_assets.db.models import (
    DocumentChunk,
    DocumentChunking,
    EmbeddingFailure,
    EmbeddingSpace,
    Lexeme,
    QueryVector,
    WordStatistics,
)
from rag_assets.db.spaces.pending import has_text
from rag_assets.db.spaces.spaces import partition

KEPT_QUERIES = 10_000


def prune(engine: Engine, space: EmbeddingSpace) -> int:
    """Remove the space's orphans; returns how many vectors went. The caller holds the lock on its vectors."""
    vectors = partition(space.id)
    with engine.begin() as connection:
        gone = connection.execute(delete(vectors).where(~has_text(space, vectors.c.content_hash)))
        connection.execute(
            delete(EmbeddingFailure).where(
                EmbeddingFailure.space_id == space.id, ~has_text(space, EmbeddingFailure.content_hash)
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
    return gone.rowcount


def prune_chunkings(engine: Engine) -> int:
    """Remove the chunks of chunkings that no space uses any more; returns how many went."""
    in_use = select(EmbeddingSpace.chunking).where(EmbeddingSpace.status != "retired")
    with engine.begin() as connection:
        connection.execute(delete(Lexeme).where(Lexeme.chunking.not_in(in_use)))
        connection.execute(delete(WordStatistics).where(WordStatistics.chunking.not_in(in_use)))
        connection.execute(delete(DocumentChunking).where(DocumentChunking.chunking.not_in(in_use)))
        gone = connection.execute(delete(DocumentChunk).where(DocumentChunk.chunking.not_in(in_use)))
    return gone.rowcount

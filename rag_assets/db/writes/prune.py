"""Deletes what nothing refers to any more: vectors, failures, and chunks of chunkings that no space uses."""

from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, select, true

from rag_assets.db.models import (
    DocumentChunk,
    DocumentChunking,
    EmbeddingFailure,
    EmbeddingSpace,
    Lexeme,
    QueryVector,
    RowChange,
    StagedChunking,
    WordStatistics,
)
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.pending import has_text_in_use, staged_document_ids
from rag_assets.db.spaces.vector_deletion import lock_vectors_for_deletion
from rag_assets.db.writes.check_progress import SPACE, Watermark, is_unseen, select_changed_hashes
from rag_assets.db.writes.kept_counts import begin_count

_CHUNKINGS_IN_USE = select(EmbeddingSpace.chunking).where(EmbeddingSpace.status != "retired")
# Query vectors to keep per space, the newest ones.
KEPT_QUERIES = 10_000


def prune_space(engine: Engine, space: EmbeddingSpace) -> int:
    """Delete the space's orphans; returns the number of deleted vectors. The caller holds the lock on its vectors."""
    vectors = partition(space.id)
    with engine.begin() as connection:
        if space.kind == "chunks":
            lock_vectors_for_deletion(connection)
        seen, scope = begin_count(connection, "orphans", space)
        mark = scope.of_space(connection)
        chunkings = sorted(connection.scalars(_CHUNKINGS_IN_USE.distinct()))
        has_waiting = connection.scalar(select(staged_document_ids().exists()))
        # Found in the indexes alone, a twentieth of the pages of the tables: usually there are none.
        orphans = (
            select(vectors.c.space_id, vectors.c.content_hash)
            .where(vectors.c.space_id == space.id, ~has_text_in_use(space, vectors.c.content_hash))
            .where(_was_written(space, mark, vectors.c.content_hash))
            .cte("orphans")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        of_orphan = (vectors.c.space_id == orphans.c.space_id) & (vectors.c.content_hash == orphans.c.content_hash)
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
        prune_chunkings(engine, mark if mark.figures.get("chunkings") == chunkings else None)
        # Of a text that waits no deletion is recorded: what is kept now is looked at again.
        if not has_waiting:
            scope.save(engine, [Watermark(SPACE, seen, 0, {"chunkings": chunkings})])
    return deleted.rowcount


def _was_written(space: EmbeddingSpace, mark: Watermark, content_hash: Any) -> ColumnElement[bool]:
    """Whether the vector, or a chunk of its text, was written since the watermark: it may be an orphan only then."""
    # Only of chunks is it recorded that they were deleted.
    if space.kind != "chunks" or mark.seen is None:
        return true()
    written: ColumnElement[bool] = content_hash.in_(select_changed_hashes(space, mark, with_chunks=True))
    return written


def prune_chunkings(engine: Engine, since: Watermark | None = None) -> int:
    """Delete the chunks of chunkings that no space uses any more; returns the number of deleted chunks.

    `since` is when there were none: only chunks of documents that were written later are looked at.
    """
    in_use = _CHUNKINGS_IN_USE
    of_others: ColumnElement[bool] = DocumentChunk.chunking.not_in(in_use)
    if since is not None and since.seen:
        of_others &= DocumentChunk.document_id.in_(select(RowChange.document_id).where(is_unseen(since.seen)))
    with engine.begin() as connection:
        connection.execute(delete(Lexeme).where(Lexeme.chunking.not_in(in_use)))
        connection.execute(delete(WordStatistics).where(WordStatistics.chunking.not_in(in_use)))
        connection.execute(delete(DocumentChunking).where(DocumentChunking.chunking.not_in(in_use)))
        connection.execute(delete(StagedChunking).where(StagedChunking.chunking.not_in(in_use)))
        deleted = connection.execute(delete(DocumentChunk).where(of_others))
    return deleted.rowcount

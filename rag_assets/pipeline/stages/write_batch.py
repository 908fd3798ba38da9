"""The one place that decides which function writes which batch into which table."""

from sqlalchemy import Connection

from rag_assets.db.reports.throughput import record_throughput
from rag_assets.db.writes import upserts
from rag_assets.db.writes.publishing import publish_documents
from rag_assets.db.writes.remote_batches import end_batch
from rag_assets.db.writes.rows import WriteCounts
from rag_assets.db.writes.staging import lock_documents
from rag_assets.pipeline.stages.batches import Batch, ChunkBatch, DocumentBatch, EmbeddingBatch


def write_batch(connection: Connection, batch: Batch, run_id: str | None = None) -> WriteCounts:
    """Write the batch inside the caller's transaction; documents, chunks and costs keep the id of the run.

    Raises the error of a FailedProject.
    """
    match batch:
        case DocumentBatch():
            changed = [row.id for rows in (batch.rows, batch.failures, batch.touches, batch.readers) for row in rows]
            lock_documents(connection, [*changed, *batch.deletions])
            written = upserts.write_documents(connection, batch.rows, run_id)
            written += upserts.write_document_failures(connection, batch.failures)
            written += upserts.delete_documents(connection, batch.deletions)
            upserts.write_source_versions(connection, batch.touches)
            upserts.write_readers(connection, batch.readers)
            return written
        case ChunkBatch():
            return upserts.write_chunks(
                connection,
                batch.chunking,
                batch.documents,
                run_id,
                language=batch.language,
                chunk_tokens=batch.chunk_tokens,
                overlap_tokens=batch.overlap_tokens,
            )
        case EmbeddingBatch():
            if batch.publish is not None:
                publish_documents(
                    connection, batch.publish.documents, live_only=True, without_refused=batch.publish.without_refused
                )
            if batch.throughput is not None:
                record_throughput(connection, *batch.throughput)
            if batch.cost is not None:
                upserts.write_embedding_cost(connection, batch.space_id, batch.cost, run_id)
            written = upserts.write_embeddings(connection, batch.space_id, batch.rows, batch.faults)
            if batch.remote_end is not None:
                end_batch(connection, batch.remote_end)
            return written
    raise batch.error

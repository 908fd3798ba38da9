"""Invalidates stored state that is wrong, so that the next run rebuilds it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Connection, Uuid, any_, delete, literal, update

from rag_assets.db.models import Document, DocumentChunking, EmbeddingSpace, StagedChunking, StagedDocument
from rag_assets.db.spaces.checksums import is_unsound
from rag_assets.db.spaces.partitions import partition


def id_in(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Whether the column is one of these ids; a single array parameter, since IN is limited to 65,535 parameters."""
    condition: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(Uuid)))
    return condition


def invalidate_documents(connection: Connection, ids: Sequence[UUID]) -> None:
    """Clear version and hash of these documents, so that the next run reads them again, and drop next versions."""
    connection.execute(delete(StagedDocument).where(id_in(StagedDocument.id, ids)))
    connection.execute(delete(StagedChunking).where(id_in(StagedChunking.document_id, ids)))
    connection.execute(update(Document).where(id_in(Document.id, ids)).values(source_version=None, hash=None))


def invalidate_chunkings(connection: Connection, ids: Sequence[UUID], chunking: str) -> None:
    """Delete the fingerprints of these documents' chunks, so that the next run splits them again."""
    stamp = DocumentChunking
    connection.execute(delete(stamp).where(stamp.chunking == chunking, id_in(stamp.document_id, ids)))
    split = StagedChunking
    connection.execute(delete(split).where(split.chunking == chunking, id_in(split.document_id, ids)))


def delete_unsound_vectors(connection: Connection, space: EmbeddingSpace) -> None:
    """Delete damaged vectors, so that the next run embeds their texts again; the caller holds the space's lock."""
    vectors = partition(space.id)
    connection.execute(delete(vectors).where(is_unsound(space, vectors)))


def restore_space_columns(connection: Connection, space_id: int, columns: dict[str, Any]) -> None:
    """Set columns of the space's row back to the values that it was created with."""
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(columns))

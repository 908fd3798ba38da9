"""What a run would take for right is forgotten here, so that it makes it anew; nothing is written in its place."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Connection, Uuid, any_, delete, literal, update

from rag_assets.db.models import Document, DocumentChunking, EmbeddingSpace
from rag_assets.db.spaces.checksums import any_unsound
from rag_assets.db.spaces.spaces import partition


def among(column: Any, ids: Sequence[UUID]) -> ColumnElement[bool]:
    """Whether it is one of these; one value, however many, where IN has room for 65,535."""
    found: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(Uuid)))
    return found


def forget_documents(connection: Connection, ids: Sequence[UUID]) -> None:
    """Whatever version the source has of them: nothing of it is known any more, so they are read again."""
    connection.execute(update(Document).where(among(Document.id, ids)).values(source_version=None, hash=None))


def forget_stamps(connection: Connection, ids: Sequence[UUID], chunking: str) -> None:
    """Let these documents be cut again."""
    stamp = DocumentChunking
    connection.execute(delete(stamp).where(stamp.chunking == chunking, among(stamp.document_id, ids)))


def delete_unsound(connection: Connection, space: EmbeddingSpace) -> None:
    """The caller holds the lock on the space's vectors."""
    vectors = partition(space.id)
    connection.execute(delete(vectors).where(any_unsound(space, vectors)))


def restore_space(connection: Connection, space_id: int, columns: dict[str, Any]) -> None:
    """Let the space say of itself what it was made with."""
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(columns))

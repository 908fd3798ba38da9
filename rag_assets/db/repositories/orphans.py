"""Vectors that nobody needs any more, removed at once and not at the next run."""

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import ARRAY, ColumnElement, Connection, LargeBinary, delete, exists, func, literal, select
from sqlalchemy.orm import Session

from rag_assets.db.models import ConversationMessage, DocumentChunk, Embedding, EmbeddingFailure, EmbeddingSpace, Memory

Kind = Literal["chunks", "messages", "memories"]


def is_needed(space: EmbeddingSpace, content_hash: Any) -> ColumnElement[bool]:
    """Whether anything in use has the text with this hash, of the kind that the space is for."""
    match space.kind:
        case "messages":
            return exists().where(
                ConversationMessage.content_hash == content_hash, ConversationMessage.deleted_at.is_(None)
            )
        case "memories":
            return exists().where(Memory.content_hash == content_hash, Memory.deleted_at.is_(None))
        case _:
            return exists().where(DocumentChunk.content_hash == content_hash, DocumentChunk.chunking == space.chunking)


def remove_orphans(connection: Connection, kind: Kind, hashes: Sequence[bytes]) -> int:
    """Remove what was made of these texts where nothing needs it any more; returns how many vectors went."""
    if not hashes:
        return 0
    of_texts = func.any(literal(list(set(hashes)), ARRAY(LargeBinary)))
    with Session(bind=connection, expire_on_commit=False) as session:
        spaces = session.scalars(select(EmbeddingSpace).where(EmbeddingSpace.kind == kind)).all()
    gone = 0
    for space in spaces:
        for model in (Embedding, EmbeddingFailure):
            removed = connection.execute(
                delete(model).where(
                    model.space_id == space.id,
                    model.content_hash == of_texts,
                    ~is_needed(space, model.content_hash),
                )
            )
            gone += removed.rowcount if model is Embedding else 0
    return gone

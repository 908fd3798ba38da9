"""Which texts a space holds vectors of, by its kind: those of chunks, of messages, or of memories that are in use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_

from rag_assets.db.models import (
    Base,
    Conversation,
    ConversationMessage,
    Document,
    DocumentChunk,
    EmbeddingSpace,
    Memory,
)


@dataclass(frozen=True, slots=True)
class Texts:
    """Where texts stand, and when one is in use; `of_project` narrows a statement about them to a project."""

    table: type[Base]
    content_hash: Any
    content: ColumnElement[Any]
    token_count: ColumnElement[Any]
    created_at: Any
    in_use: ColumnElement[bool]
    of_project: Callable[[Select[Any], UUID], Select[Any]]


def texts_of(space: EmbeddingSpace) -> Texts:
    """The texts of the space's kind."""
    match space.kind:
        case "messages":
            return Texts(
                ConversationMessage,
                ConversationMessage.content_hash,
                ConversationMessage.content.expression,
                _estimate(ConversationMessage.content),
                ConversationMessage.created_at,
                # Also in a conversation that is soft-deleted: forks may read it, and it may be restored. A call of a
                # tool says nothing.
                and_(ConversationMessage.deleted_at.is_(None), ConversationMessage.content != ""),
                lambda statement, project_id: statement.join(
                    Conversation, Conversation.id == ConversationMessage.conversation_id
                ).where(Conversation.project_id == project_id),
            )
        case "memories":
            return Texts(
                Memory,
                Memory.content_hash,
                Memory.content.expression,
                _estimate(Memory.content),
                Memory.created_at,
                and_(Memory.deleted_at.is_(None), or_(Memory.expires_at.is_(None), Memory.expires_at > func.now())),
                lambda statement, project_id: statement.where(Memory.project_id == project_id),
            )
        case _:
            return Texts(
                DocumentChunk,
                DocumentChunk.content_hash,
                DocumentChunk.chunk_text.expression,
                DocumentChunk.token_count.expression,
                DocumentChunk.created_at,
                DocumentChunk.chunking == space.chunking,
                lambda statement, project_id: statement.join(Document).where(Document.project_id == project_id),
            )


def _estimate(content: Any) -> ColumnElement[Any]:
    """Tokens for the size of batches: what a caller counted may be of another model's tokens."""
    return func.octet_length(content) / 4 + 1

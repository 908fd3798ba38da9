"""Which texts a space holds vectors of, by its kind: those of chunks, of messages, or of memories that are in use."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
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

Kind = Literal["chunks", "messages", "memories"]


@dataclass(frozen=True, slots=True)
class Texts:
    """Where texts stand, and when one is in use, or was at some time; `of_project` narrows a statement to a project.

    `came_at` is when a text was written as it is.
    """

    table: type[Base]
    content_hash: Any
    content: ColumnElement[Any]
    token_count: ColumnElement[Any]
    created_at: Any
    came_at: Any
    in_use: ColumnElement[bool]
    was_in_use: Callable[[datetime], ColumnElement[bool]]
    of_project: Callable[[Select[Any], UUID], Select[Any]]


def texts_of(space: EmbeddingSpace) -> Texts:
    """The texts that the space is for."""
    return texts_of_kind(space.kind, space.chunking)


def texts_of_kind(kind: str, chunking: str = "") -> Texts:
    match kind:
        case "messages":
            return Texts(
                ConversationMessage,
                ConversationMessage.content_hash,
                ConversationMessage.content.expression,
                _estimate(ConversationMessage.content),
                ConversationMessage.created_at,
                ConversationMessage.created_at,
                # Also in a conversation that is soft-deleted: forks may read it, and it may be restored. A call of a
                # tool says nothing.
                and_(ConversationMessage.deleted_at.is_(None), ConversationMessage.content != ""),
                lambda at: and_(_not_before(ConversationMessage.deleted_at, at), ConversationMessage.content != ""),
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
                # What had expired begins anew when it is remembered again.
                Memory.updated_at,
                and_(Memory.deleted_at.is_(None), or_(Memory.expires_at.is_(None), Memory.expires_at > func.now())),
                lambda at: and_(_not_before(Memory.deleted_at, at), _not_before(Memory.expires_at, at)),
                lambda statement, project_id: statement.where(Memory.project_id == project_id),
            )
        case _:
            return Texts(
                DocumentChunk,
                DocumentChunk.content_hash,
                DocumentChunk.chunk_text.expression,
                DocumentChunk.token_count.expression,
                DocumentChunk.created_at,
                DocumentChunk.updated_at,
                DocumentChunk.chunking == chunking,
                lambda _: DocumentChunk.chunking == chunking,
                lambda statement, project_id: statement.join(Document).where(Document.project_id == project_id),
            )


def made_on_day(texts: Texts, day: date) -> ColumnElement[bool]:
    """By UTC."""
    begins = midnight(day)
    return and_(texts.created_at >= begins, texts.created_at < begins + timedelta(days=1))


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _not_before(column: Any, at: datetime) -> ColumnElement[bool]:
    return or_(column.is_(None), column >= at)


def _estimate(content: Any) -> ColumnElement[Any]:
    """Tokens for the size of batches: what a caller counted may be of another model's tokens."""
    return func.octet_length(content) / 4 + 1

"""The kinds of texts that spaces have vectors of: chunks, messages and memories, and where their texts are stored."""

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
class TextSource:
    """The columns of a kind's texts, and which of its rows are in use: only those have vectors.

    `written_at` is when a row got its present text. `was_in_use` is the condition that a row was in use at a time, and
    `of_project` restricts a statement to the rows of a project.
    """

    table: type[Base]
    content_hash: Any
    content: ColumnElement[Any]
    token_count: ColumnElement[Any]
    created_at: Any
    written_at: Any
    in_use: ColumnElement[bool]
    was_in_use: Callable[[datetime], ColumnElement[bool]]
    of_project: Callable[[Select[Any], UUID], Select[Any]]


def text_source(space: EmbeddingSpace) -> TextSource:
    return text_source_of_kind(space.kind, space.chunking)


def text_source_of_kind(kind: str, chunking: str = "") -> TextSource:
    match kind:
        case "messages":
            return TextSource(
                ConversationMessage,
                ConversationMessage.content_hash,
                ConversationMessage.content.expression,
                _estimate_tokens(ConversationMessage.content),
                ConversationMessage.created_at,
                ConversationMessage.created_at,
                # Including messages of a soft-deleted conversation: forks may read it, and it may be restored. A
                # message that only calls a tool has no text.
                and_(ConversationMessage.deleted_at.is_(None), ConversationMessage.content != ""),
                lambda at: and_(_not_before(ConversationMessage.deleted_at, at), ConversationMessage.content != ""),
                lambda statement, project_id: statement.join(
                    Conversation, Conversation.id == ConversationMessage.conversation_id
                ).where(Conversation.project_id == project_id),
            )
        case "memories":
            return TextSource(
                Memory,
                Memory.content_hash,
                Memory.content.expression,
                _estimate_tokens(Memory.content),
                Memory.created_at,
                # Remembering an expired memory again updates its row.
                Memory.updated_at,
                and_(Memory.deleted_at.is_(None), or_(Memory.expires_at.is_(None), Memory.expires_at > func.now())),
                lambda at: and_(_not_before(Memory.deleted_at, at), _not_before(Memory.expires_at, at)),
                lambda statement, project_id: statement.where(Memory.project_id == project_id),
            )
        case _:
            return TextSource(
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


def created_on_day(texts: TextSource, day: date) -> ColumnElement[bool]:
    """Whether the row was created on this day (UTC)."""
    begins = utc_midnight(day)
    return and_(texts.created_at >= begins, texts.created_at < begins + timedelta(days=1))


def utc_midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _not_before(column: Any, at: datetime) -> ColumnElement[bool]:
    return or_(column.is_(None), column >= at)


def _estimate_tokens(content: Any) -> ColumnElement[Any]:
    """Estimated tokens, for the size of batches: a caller's own count may be of another model's tokens."""
    return func.octet_length(content) / 4 + 1

"""The kinds of texts that spaces have vectors of (chunks, messages, memories, registered tables), and their sources."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, and_, false, func, or_, select, union_all

from rag_assets.db.models import (
    Conversation,
    ConversationMessage,
    Document,
    DocumentChunk,
    EmbeddingSpace,
    Memory,
    StagedChunk,
)
from rag_assets.db.models.chunks import EMBEDDED_TEXT, embedded_text
from rag_assets.db.spaces.registered_tables import is_registered, load_table, registered_kinds
from rag_assets.errors import UsageError

# One of BUILT_IN_KINDS, or the name of a registered table.
Kind: TypeAlias = str
SINGULAR = {"chunks": "chunk", "messages": "message", "memories": "memory"}
BUILT_IN_KINDS = ("chunks", "messages", "memories")


def list_kinds() -> list[Kind]:
    return [*BUILT_IN_KINDS, *registered_kinds()]


def check_kind(kind: str) -> Kind:
    """Return the kind; raises UsageError for one that is neither built in nor registered."""
    if not is_known_kind(kind):
        raise UsageError(f"there are no texts of the kind {kind!r}; choose one of {', '.join(list_kinds())}.")
    return kind


def is_known_kind(kind: str) -> bool:
    """False for the kind of a space whose table no installed package registers any more."""
    return kind in BUILT_IN_KINDS or is_registered(kind)


@dataclass(frozen=True, slots=True)
class TextSource:
    """The columns of a kind's texts, and which of its rows are in use: only those have vectors.

    `written_at` is when a row got its present text. `was_in_use` is the condition that a row was in use at a time, and
    `of_project` restricts a statement to the rows of a project.
    """

    table: Any
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


def searched_text_source(space: EmbeddingSpace) -> TextSource:
    """Same as `text_source`, without the chunks that wait to replace others in searches."""
    return _searched_chunk_source(space.chunking) if space.kind == "chunks" else text_source(space)


def text_source_of_kind(kind: Kind, chunking: str = "") -> TextSource:
    """Where the texts of a kind are stored; raises UsageError if no installed package registers its table."""
    match kind:
        case "chunks":
            return _chunk_source(chunking)
        case "messages":
            return _message_source()
        case "memories":
            return _memory_source()
        case _:
            return _registered_source(load_table(kind))


def _all_chunks() -> Subquery:
    """The chunks that searches use, and those that wait to replace them."""
    names = ("document_id", "chunking", "content_hash", "token_count", "created_at", "updated_at")
    parts = (
        select(*(getattr(chunk, name) for name in names), embedded_text(chunk).label("content"))
        for chunk in (DocumentChunk, StagedChunk)
    )
    return union_all(*parts).subquery("chunks")


# One object, so that conditions on its columns fit every statement.
ALL_CHUNKS = _all_chunks()


def _chunk_source(chunking: str) -> TextSource:
    chunks = ALL_CHUNKS.c
    return TextSource(
        table=ALL_CHUNKS,
        content_hash=chunks.content_hash,
        content=chunks.content,
        token_count=chunks.token_count,
        created_at=chunks.created_at,
        written_at=chunks.updated_at,
        in_use=chunks.chunking == chunking,
        was_in_use=lambda _: chunks.chunking == chunking,
        of_project=lambda statement, project_id: statement.join(Document, Document.id == chunks.document_id).where(
            Document.project_id == project_id
        ),
    )


def _searched_chunk_source(chunking: str) -> TextSource:
    return TextSource(
        table=DocumentChunk,
        content_hash=DocumentChunk.content_hash,
        content=EMBEDDED_TEXT,
        token_count=DocumentChunk.token_count.expression,
        created_at=DocumentChunk.created_at,
        written_at=DocumentChunk.updated_at,
        in_use=DocumentChunk.chunking == chunking,
        was_in_use=lambda _: DocumentChunk.chunking == chunking,
        of_project=lambda statement, project_id: statement.join(Document).where(Document.project_id == project_id),
    )


def _message_source() -> TextSource:
    # A message that only calls a tool has no text.
    has_text = ConversationMessage.content != ""
    return TextSource(
        table=ConversationMessage,
        content_hash=ConversationMessage.content_hash,
        content=ConversationMessage.content.expression,
        token_count=_estimate_tokens(ConversationMessage.content),
        created_at=ConversationMessage.created_at,
        written_at=ConversationMessage.created_at,
        # Including messages of a soft-deleted conversation: forks may read it, and it may be restored.
        in_use=and_(ConversationMessage.deleted_at.is_(None), has_text),
        was_in_use=lambda at: and_(_not_before(ConversationMessage.deleted_at, at), has_text),
        of_project=lambda statement, project_id: statement.join(
            Conversation, Conversation.id == ConversationMessage.conversation_id
        ).where(Conversation.project_id == project_id),
    )


def _memory_source() -> TextSource:
    return TextSource(
        table=Memory,
        content_hash=Memory.content_hash,
        content=Memory.content.expression,
        token_count=_estimate_tokens(Memory.content),
        created_at=Memory.created_at,
        # Remembering an expired memory again updates its row.
        written_at=Memory.updated_at,
        in_use=and_(Memory.deleted_at.is_(None), or_(Memory.expires_at.is_(None), Memory.expires_at > func.now())),
        was_in_use=lambda at: and_(_not_before(Memory.deleted_at, at), _not_before(Memory.expires_at, at)),
        of_project=lambda statement, project_id: statement.where(Memory.project_id == project_id),
    )


def _registered_source(model: type[Any]) -> TextSource:
    has_text = model.content != ""
    deleted_at = getattr(model, "deleted_at", None)
    project = getattr(model, "project_id", None)
    return TextSource(
        table=model,
        content_hash=model.content_hash,
        content=model.content.expression,
        token_count=_estimate_tokens(model.content),
        created_at=model.created_at,
        written_at=model.updated_at,
        in_use=has_text if deleted_at is None else and_(deleted_at.is_(None), has_text),
        was_in_use=lambda at: has_text if deleted_at is None else and_(_not_before(deleted_at, at), has_text),
        of_project=lambda statement, project_id: statement.where(false() if project is None else project == project_id),
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

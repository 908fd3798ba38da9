"""Conversations and their messages: versioned, forked without copies, soft-deleted."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import (
    Base,
    BigInt,
    Embeddable,
    Identified,
    Json,
    Name,
    SoftDeleted,
    Timestamp,
    Timestamped,
)


class Conversation(Identified, Timestamped, SoftDeleted, Base):
    """The counts cover all that a reader sees: its own messages, and those of its ancestors up to the fork."""

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("(parent_id IS NULL) = (fork_version IS NULL)", name="fork_has_both"),
        CheckConstraint("parent_id <> id", name="parent_is_another"),
        CheckConstraint("fork_version BETWEEN 1 AND latest_version", name="fork_version_known"),
        CheckConstraint("message_count BETWEEN 0 AND latest_version", name="message_count_possible"),
        CheckConstraint("total_tokens >= 0", name="total_tokens_not_negative"),
        Index("ix_conversations_user_id", "user_id", "created_at", "id"),
    )

    # A conversation outlives its project and its user; a purge removes it.
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("rag.projects.id", ondelete="SET NULL"), index=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("rag.users.id", ondelete="SET NULL"))
    name: Mapped[Name]
    message_count: Mapped[BigInt] = mapped_column(server_default=text("0"))
    total_tokens: Mapped[BigInt] = mapped_column(server_default=text("0"))
    latest_version: Mapped[BigInt] = mapped_column(server_default=text("0"))
    # No cascade: forks read through their parent, so the database refuses to delete it before them.
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("rag.conversations.id"), index=True)
    fork_version: Mapped[BigInt | None]


class ConversationMessage(Identified, Embeddable, SoftDeleted, Base):
    """Versions count from 1 without gaps; the messages of a fork continue from the version where it was forked."""

    __tablename__ = "conversation_messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "version"),
        CheckConstraint("version >= 1", name="version_counts_from_one"),
        CheckConstraint("role IN ('user', 'assistant', 'system', 'tool')", name="role_known"),
        CheckConstraint("role <> 'tool' OR tool_call_id IS NOT NULL", name="tool_has_call"),
        CheckConstraint("token_count >= 0", name="token_count_not_negative"),
        # Serves the run of a day, which reads the texts of that day's messages.
        Index(
            "ix_conversation_messages_created_at",
            "created_at",
            "content_hash",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_conversation_messages_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("rag.conversations.id", ondelete="CASCADE"))
    version: Mapped[BigInt]
    role: Mapped[str]
    tool_call_id: Mapped[Name | None]
    tool_name: Mapped[Name | None]
    token_count: Mapped[int]
    model: Mapped[Name | None]
    message_metadata: Mapped[Json] = mapped_column("metadata")
    created_at: Mapped[Timestamp] = mapped_column(server_default=func.now())

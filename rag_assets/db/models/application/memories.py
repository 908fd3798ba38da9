"""Memories of a user, in a project, for a specialization."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Embeddable, Float8, Identified, SoftDeleted, Timestamp, Timestamped

OWNERS = ("user_id", "project_id", "specialization_id")


class Memory(Identified, Embeddable, Timestamped, SoftDeleted, Base):
    """A text to remember; each owner column restricts who sees it, and one that is NULL does not."""

    __tablename__ = "memories"
    __table_args__ = (
        CheckConstraint("importance BETWEEN 0 AND 1", name="importance_between_0_and_1"),
        CheckConstraint("recall_count >= 0", name="recall_count_not_negative"),
        # The same text of the same owner is one memory, even if two processes insert it at once.
        Index(
            "uq_memories_owner_content",
            *OWNERS,
            "content_hash",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
    )

    # CASCADE, not SET NULL: a memory without its owner would be visible to everybody.
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("rag.users.id", ondelete="CASCADE"), index=True)
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"), index=True)
    specialization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("rag.specializations.id", ondelete="CASCADE"), index=True
    )
    importance: Mapped[Float8] = mapped_column(server_default=text("0.5"))
    source_message_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("rag.conversation_messages.id", ondelete="SET NULL"), index=True
    )
    last_recalled_at: Mapped[Timestamp | None]
    recall_count: Mapped[int] = mapped_column(server_default=text("0"))
    expires_at: Mapped[Timestamp | None] = mapped_column(index=True)

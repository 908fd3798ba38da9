"""The subjects that an assistant is specialized in, and the LoRA adapters for them."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Float8, Identified, Json, Name, Timestamped


class Specialization(Identified, Timestamped, Base):
    __tablename__ = "specializations"
    __table_args__ = (CheckConstraint("name <> ''", name="name_not_empty"),)

    name: Mapped[Name] = mapped_column(unique=True)
    description: Mapped[str | None]
    system_prompt: Mapped[str | None]
    settings: Mapped[Json]


class Adapter(Identified, Timestamped, Base):
    """A LoRA adapter; at most one is `ready`, that is in use, for each specialization and base model."""

    __tablename__ = "adapters"
    __table_args__ = (
        UniqueConstraint("specialization_id", "name"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("status IN ('draft', 'ready', 'retired')", name="status_known"),
        CheckConstraint("rank >= 1", name="rank_positive"),
        CheckConstraint("alpha > 0", name="alpha_positive"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hex"),
        # The hash proves that the served file is the tested one: without it an adapter stays a draft.
        CheckConstraint("status = 'draft' OR sha256 IS NOT NULL", name="served_has_sha256"),
        Index(
            "uq_adapters_ready",
            "specialization_id",
            "base_model",
            unique=True,
            postgresql_where=text("status = 'ready'"),
        ),
    )

    specialization_id: Mapped[UUID] = mapped_column(ForeignKey("rag.specializations.id", ondelete="CASCADE"))
    name: Mapped[Name]
    base_model: Mapped[Name]
    uri: Mapped[str]
    rank: Mapped[int]
    alpha: Mapped[Float8]
    sha256: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="draft")
    metrics: Mapped[Json]

"""What embedding has cost."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, BigInt, Float8


class EmbeddingCost(Base):
    """The billed tokens of one batch, written in the transaction of its vectors; it outlives its space.

    `cost` is NULL where no price was set. A row with `paused` is a run that a budget stopped, with the reason.
    """

    __tablename__ = "embedding_costs"

    # Of the batch, so that a batch that is written twice is counted once.
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    space_id: Mapped[int]
    model: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(index=True)
    tokens: Mapped[BigInt]
    cost: Mapped[Float8 | None]
    paused: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)

"""What was written since checks last passed, and how far each check has read."""

from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, BigInt, Timestamped


class RowChange(Base):
    """A document or a vector that was written or deleted, by anyone; triggers insert it in the same transaction.

    `content_hash` without a space is that of a chunk that was replaced or deleted.
    """

    __tablename__ = "row_changes"

    xid: Mapped[BigInt] = mapped_column(server_default=text("pg_current_xact_id()::text::bigint"))
    document_id: Mapped[UUID | None]
    space_id: Mapped[int | None]
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)

    # The table has no key; the mapper wants one.
    __mapper_args__ = {"primary_key": [xid]}  # noqa: RUF012


class CheckWatermark(Timestamped, Base):
    """How far a check that passed has read the rows of a scope: one project's documents, or a space's vectors.

    `seen` is the snapshot that the check began with: changes that are not visible in it are still to be read.
    `position` is where the next part begins in the rotation over all rows. Another `version` of the check reads all.
    """

    __tablename__ = "check_watermarks"
    __table_args__ = (
        CheckConstraint("seen::pg_snapshot IS NOT NULL", name="seen_is_snapshot"),
        CheckConstraint("position BETWEEN 0 AND 4294967295", name="position_in_range"),
    )

    check_name: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(primary_key=True, doc="The project; all zeros for a space.")
    version: Mapped[str]
    seen: Mapped[str]
    position: Mapped[BigInt]
    figures: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb"), doc="What a measurement found, until it is taken again."
    )

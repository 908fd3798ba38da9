"""What embedding has cost so far, in a run and in a month, and why the last run stopped."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select

from rag_assets.db.models import EmbeddingCost


def spent_in_run(connection: Connection, run_id: str, *, without: Sequence[UUID] = ()) -> float:
    return _spent(connection, EmbeddingCost.run_id == run_id, without)


def spent_this_month(connection: Connection, *, without: Sequence[UUID] = ()) -> float:
    """Since the first of the month (UTC)."""
    begin = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return _spent(connection, EmbeddingCost.created_at >= begin, without)


def find_pause(connection: Connection, space_id: int) -> str | None:
    """Why the last run on this space stopped before it had embedded everything; None if no budget stopped it."""
    newest = select(EmbeddingCost.paused).where(EmbeddingCost.space_id == space_id)
    return connection.scalar(newest.order_by(EmbeddingCost.created_at.desc(), EmbeddingCost.paused).limit(1))


def _spent(connection: Connection, which: ColumnElement[bool], without: Sequence[UUID]) -> float:
    total = select(func.coalesce(func.sum(EmbeddingCost.cost), 0.0)).where(which, EmbeddingCost.id.not_in(without))
    return float(connection.scalar(total) or 0)

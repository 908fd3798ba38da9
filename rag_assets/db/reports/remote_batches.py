"""The batches at embedding servers: the open ones, and those that ended last."""

from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from rag_assets.db.models import RemoteBatch
from rag_assets.db.spaces.remote_batches import OPEN_STATES


def list_batches(engine: Engine, most_ended: int) -> list[dict[str, Any]]:
    """The open batches, the oldest first, then the ones that ended last, the newest first."""
    batch = RemoteBatch
    with Session(engine) as session:
        is_open = batch.status.in_(OPEN_STATES)
        found = [
            *session.scalars(select(batch).where(is_open).order_by(batch.created_at, batch.texts.desc())),
            *session.scalars(select(batch).where(~is_open).order_by(batch.ended_at.desc()).limit(most_ended)),
        ]
        return [_describe(one) for one in found]


def _describe(batch: RemoteBatch) -> dict[str, Any]:
    times = {name: getattr(batch, name) for name in ("created_at", "submitted_at", "expires_at", "ended_at")}
    return {
        "id": str(batch.id),
        "space": batch.space_id,
        "project": batch.key,
        "status": batch.status,
        "texts": batch.texts,
        "tokens": batch.tokens,
        "remote_id": batch.remote_id,
        "error": batch.error,
        **{name: time and time.isoformat() for name, time in times.items()},
    }

"""Writes of batches at an embedding server: reserve texts, say what the server has accepted, end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import EmbeddingCost, EmbeddingSpace, RemoteBatch, RemoteBatchText
from rag_assets.errors import ServiceError


@dataclass(frozen=True, slots=True)
class RemoteBatchEnd:
    """How a batch ended, and what it has cost; texts that it brought no vector for are free again."""

    id: UUID
    status: str
    error: str | None = None
    tokens: int = 0
    cost: float | None = None


def add_batch(connection: Connection, batch: RemoteBatch) -> None:
    """Store a batch before anything is sent."""
    names = ("id", "space_id", "owner", "key", "server")
    values = {name: getattr(batch, name) for name in names}
    connection.execute(insert(RemoteBatch).values(values).on_conflict_do_nothing())


def reserve_texts(
    connection: Connection, batch: RemoteBatch, space: EmbeddingSpace, texts: Sequence[tuple[bytes, int]]
) -> set[bytes]:
    """Put texts, by hash and tokens, into the batch; returns those that no other batch has."""
    if not texts:
        return set()
    values = [{"space_id": space.id, "content_hash": hash_, "batch_id": batch.id} for hash_, _ in sorted(texts)]
    statement = insert(RemoteBatchText).on_conflict_do_nothing().returning(RemoteBatchText.content_hash)
    found = set(connection.scalars(statement, values))
    tokens = sum(tokens for hash_, tokens in texts if hash_ in found)
    connection.execute(
        update(RemoteBatch)
        .where(RemoteBatch.id == batch.id)
        .values(texts=RemoteBatch.texts + len(found), tokens=RemoteBatch.tokens + tokens)
    )
    return found


def reserve_cost(
    connection: Connection, batch: RemoteBatch, model: str, run_id: str | None, tokens: int, cost: float | None
) -> None:
    """Count these tokens of the batch as spent, until the server says what it bills."""
    added = insert(EmbeddingCost).values(
        id=batch.id, space_id=batch.space_id, model=model, run_id=run_id, tokens=tokens, cost=cost
    )
    connection.execute(
        added.on_conflict_do_update(
            index_elements=["id"],
            set_={
                "tokens": EmbeddingCost.tokens + added.excluded.tokens,
                "cost": EmbeddingCost.cost + added.excluded.cost,
            },
        )
    )


def set_file(connection: Connection, batch: RemoteBatch, file_id: str) -> None:
    """Say which file has the texts, before the server is asked for the batch.

    Raises ServiceError where another run took this one for dead and has freed the texts.
    """
    own = (RemoteBatch.id == batch.id, RemoteBatch.status == "submitting")
    if not connection.execute(update(RemoteBatch).where(*own).values(file_id=file_id)).rowcount:
        raise ServiceError("the database lost this run's lock, and another run has taken over its texts; run again.")


def set_submitted(connection: Connection, batch: RemoteBatch, remote_id: str, expires_at: datetime | None) -> None:
    connection.execute(
        update(RemoteBatch)
        .where(RemoteBatch.id == batch.id)
        .values(status="submitted", remote_id=remote_id, submitted_at=func.now(), expires_at=expires_at)
    )


def withdraw_batch(connection: Connection, batch: RemoteBatch) -> None:
    """Forget a batch that the server never accepted; its texts are free again, and it has cost nothing."""
    connection.execute(delete(RemoteBatch).where(RemoteBatch.id == batch.id))
    connection.execute(delete(EmbeddingCost).where(EmbeddingCost.id == batch.id))


def end_batch(connection: Connection, end: RemoteBatchEnd) -> None:
    """Ending a batch twice counts once."""
    connection.execute(delete(RemoteBatchText).where(RemoteBatchText.batch_id == end.id))
    connection.execute(
        update(RemoteBatch)
        .where(RemoteBatch.id == end.id)
        .values(status=end.status, error=end.error, ended_at=func.now())
    )
    connection.execute(update(EmbeddingCost).where(EmbeddingCost.id == end.id).values(tokens=end.tokens, cost=end.cost))


def texts_of_batch(connection: Connection, batch: RemoteBatch) -> set[bytes]:
    return set(connection.scalars(select(RemoteBatchText.content_hash).where(RemoteBatchText.batch_id == batch.id)))

"""Which texts of a space wait in a batch at an embedding server, and which batches are open."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, select, text
from sqlalchemy.orm import Session

from rag_assets.db.locks import IS_HELD_WITH_KEY
from rag_assets.db.models import EmbeddingSpace, RemoteBatch, RemoteBatchText
from rag_assets.db.spaces.pending import count_pending_texts
from rag_assets.db.spaces.text_kinds import text_source

OPEN_STATES = ("submitting", "submitted")
_OWNER_LIVES = text(
    f"SELECT EXISTS (SELECT FROM pg_locks WHERE {IS_HELD_WITH_KEY} CAST(:owner AS bigint))"  # noqa: S608
)


def is_in_batch(space: EmbeddingSpace, content_hash: Any) -> ColumnElement[bool]:
    """Whether the text with this hash waits in a batch."""
    return exists().where(RemoteBatchText.space_id == space.id, RemoteBatchText.content_hash == content_hash)


def count_texts_in_batches(
    connection: Connection, space: EmbeddingSpace, expected: ColumnElement[bool] | None = None
) -> int:
    """The texts in use without a vector that wait in batches; `expected` is a condition on them."""
    waits = is_in_batch(space, text_source(space).content_hash)
    return (
        connection.scalar(count_pending_texts(space).where(waits if expected is None else and_(waits, expected))) or 0
    )


def open_batches(engine: Engine, space: EmbeddingSpace | None = None) -> Sequence[RemoteBatch]:
    """The batches, of one or all spaces, whose vectors are still to be fetched, the oldest first."""
    found = select(RemoteBatch).where(RemoteBatch.status.in_(OPEN_STATES))
    if space is not None:
        found = found.where(RemoteBatch.space_id == space.id)
    with Session(engine, expire_on_commit=False) as session:
        return session.scalars(found.order_by(RemoteBatch.created_at, RemoteBatch.id)).all()


def is_being_submitted(connection: Connection, batch: RemoteBatch) -> bool:
    """Whether the process lives that submits the batch just now."""
    return batch.status == "submitting" and bool(connection.scalar(_OWNER_LIVES, {"owner": batch.owner}))

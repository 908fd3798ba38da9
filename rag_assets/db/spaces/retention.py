"""Spaces that are not live: kept for a rollback, excluded from promotion after one, and retired."""

from datetime import timedelta

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.orm import Session

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.partitions import PARTITION
from rag_assets.db.spaces.spaces import lock_spaces

# While settings are being tried out, an unfinished space may be wanted again soon.
MIN_DAYS_UNFINISHED = 1


def get_previous_space(connection: Connection, kind: str = "chunks") -> EmbeddingSpace | None:
    """The space that was live before the current one, while it is kept."""
    with Session(bind=connection, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace).where(EmbeddingSpace.kind == kind, EmbeddingSpace.status == "previous")
        )


def block_promotion(connection: Connection, space_id: int) -> None:
    """Exclude the space from automatic promotion, until somebody promotes it or the settings ask for another space."""
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(rolled_back_at=func.now()))


def allow_promotion_of_others(connection: Connection, wanted: EmbeddingSpace) -> None:
    """Allow automatic promotion of the other spaces of the kind again: the settings now ask for `wanted`."""
    connection.execute(
        update(EmbeddingSpace)
        .where(
            EmbeddingSpace.kind == wanted.kind,
            EmbeddingSpace.id != wanted.id,
            EmbeddingSpace.rolled_back_at.is_not(None),
        )
        .values(rolled_back_at=None)
    )


def allow_promotion(connection: Connection, space_id: int) -> None:
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(rolled_back_at=None))


def retire_space(connection: Connection, space_id: int) -> None:
    """Retire the space, unless it has become live meanwhile."""
    lock_spaces(connection)
    not_live = EmbeddingSpace.status != "live"
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id, not_live).values(status="retired"))


def expired_spaces(connection: Connection, wanted: EmbeddingSpace, keep_days: float) -> list[int]:
    """The ids of spaces of the kind past their retention: retired ones, previous ones, and unfinished unwanted ones."""
    kept, unfinished = timedelta(days=keep_days), timedelta(days=max(keep_days, MIN_DAYS_UNFINISHED))
    table = func.to_regclass(func.concat(f"{SCHEMA}.{PARTITION}", EmbeddingSpace.id))
    expired = or_(
        and_(EmbeddingSpace.status == "retired", or_(EmbeddingSpace.rolled_back_at.is_(None), table.is_not(None))),
        and_(EmbeddingSpace.status == "previous", EmbeddingSpace.stepped_back_at <= func.now() - kept),
        and_(
            EmbeddingSpace.status == "building",
            EmbeddingSpace.id != wanted.id,
            EmbeddingSpace.updated_at <= func.now() - unfinished,
        ),
    )
    found = select(EmbeddingSpace.id).where(EmbeddingSpace.kind == wanted.kind, expired)
    return list(connection.scalars(found.order_by(EmbeddingSpace.id)))


def find_held_back(connection: Connection, fingerprint: str) -> int | None:
    """The space of this fingerprint if people rolled back from it, so that no run promotes it."""
    return connection.scalar(
        select(EmbeddingSpace.id).where(
            EmbeddingSpace.fingerprint == fingerprint, EmbeddingSpace.rolled_back_at.is_not(None)
        )
    )

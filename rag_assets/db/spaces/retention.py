"""Spaces that serve no more, or not yet: kept for a way back, held back after one, and let go."""

from datetime import timedelta

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.orm import Session

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces.spaces import PARTITION, take_turns

# A space that nobody asks for any more may be asked for again, when somebody tries settings out.
LEAST_DAYS_UNFINISHED = 1


def previous_space(connection: Connection, kind: str = "chunks") -> EmbeddingSpace | None:
    """The space that served before the live one, as long as it is kept."""
    with Session(bind=connection, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace).where(EmbeddingSpace.kind == kind, EmbeddingSpace.status == "previous")
        )


def hold_back(connection: Connection, space_id: int) -> None:
    """Keep the space from taking over by itself, until it is promoted by hand or the settings ask for another one."""
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(rolled_back_at=func.now()))


def release_others(connection: Connection, wanted: EmbeddingSpace) -> None:
    """The settings ask for this space now: others may take over again, should they be asked for anew."""
    connection.execute(
        update(EmbeddingSpace)
        .where(
            EmbeddingSpace.kind == wanted.kind,
            EmbeddingSpace.id != wanted.id,
            EmbeddingSpace.rolled_back_at.is_not(None),
        )
        .values(rolled_back_at=None)
    )


def let_go(connection: Connection, space_id: int) -> None:
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id).values(rolled_back_at=None))


def retire(connection: Connection, space_id: int) -> None:
    """What serves by now stays as it is."""
    take_turns(connection)
    kept = EmbeddingSpace.status != "live"
    connection.execute(update(EmbeddingSpace).where(EmbeddingSpace.id == space_id, kept).values(status="retired"))


def expired_spaces(connection: Connection, wanted: EmbeddingSpace, keep_days: float) -> list[int]:
    """Spaces of the kind that were kept long enough: previous ones, and begun ones that are no longer wanted."""
    kept, unfinished = timedelta(days=keep_days), timedelta(days=max(keep_days, LEAST_DAYS_UNFINISHED))
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

"""Memories: store, reinforce, list, expire and delete them. `recall` finds them."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import Memory
from rag_assets.db.models.application.memories import OWNERS
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.orphans import delete_orphaned_vectors
from rag_assets.repositories.core.values import parse_id, validate_row


def remember(
    connection: Connection,
    content: str,
    *,
    user_id: UUID | None = None,
    project_id: UUID | None = None,
    specialization_id: UUID | None = None,
    importance: float = 0.5,
    source_message_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> Memory:
    """Store a text for its owner, the combination of the three ids; an id that is None sets no limit.

    If the owner has the text already, the memory is reinforced: importance a and then b give 1 - (1 - a)(1 - b), it
    counts as just recalled, and expires at the later of the two times. An expired memory starts over instead.

    Returns the memory. Raises UsageError for an empty text, an importance outside 0 to 1 and an unknown owner.
    """
    if not 0 <= importance <= 1:
        raise UsageError(f"importance is {importance}; choose 0 to 1.")
    values = {
        "content": content,
        "user_id": user_id,
        "project_id": project_id,
        "specialization_id": specialization_id,
        "importance": importance,
        "source_message_id": source_message_id,
        "expires_at": expires_at,
    }
    row = validate_row(Memory, values)
    if not row["content"].strip():
        raise UsageError("content is empty; give the text to remember.")
    statement = insert(Memory).values(row)
    given = statement.excluded
    expired = Memory.expires_at <= func.now()
    expires_later = case(
        (expired, given.expires_at),
        (or_(Memory.expires_at.is_(None), given.expires_at.is_(None)), None),
        else_=func.greatest(Memory.expires_at, given.expires_at),
    )
    reinforce = statement.on_conflict_do_update(
        index_elements=[*OWNERS, "content_hash"],
        index_where=text("deleted_at IS NULL"),
        set_={
            "importance": case((expired, given.importance), else_=1 - (1 - Memory.importance) * (1 - given.importance)),
            "source_message_id": func.coalesce(Memory.source_message_id, given.source_message_id),
            "last_recalled_at": func.now(),
            "expires_at": expires_later,
            "updated_at": func.now(),
        },
    )
    memory: Memory = entities.fetch_all(connection, reinforce.returning(Memory))[0]
    return memory


def get(connection: Connection, memory_id: UUID) -> Memory:
    """The memory; raises UsageError where it does not exist or is forgotten."""
    return entities.get_row(connection, Memory, memory_id)


def list_by_user(
    connection: Connection, user_id: UUID, *, limit: int = 50, after: str | None = None
) -> entities.Page[Memory]:
    """A page of the user's memories in all projects, newest first; `after` is the `next` of the page before."""
    statement = select(Memory).where(and_(Memory.user_id == parse_id("users.id", user_id), in_force()))
    return entities.fetch_page(connection, Memory, statement, limit=limit, after=after)


def in_force() -> ColumnElement[bool]:
    """SQL condition: the memory is neither forgotten nor expired."""
    return and_(Memory.deleted_at.is_(None), or_(Memory.expires_at.is_(None), Memory.expires_at > func.now()))


def forget(connection: Connection, memory_id: UUID) -> Memory:
    """Leave the memory out of all recalls, and return it; `purge` deletes it.

    Raises UsageError where it does not exist.
    """
    return entities.soft_delete_row(connection, Memory, memory_id)


def expire(connection: Connection) -> int:
    """Forget all memories past their `expires_at`, which recalls ignore already; returns the number."""
    return connection.execute(
        update(Memory).where(Memory.deleted_at.is_(None), Memory.expires_at <= func.now()).values(deleted_at=func.now())
    ).rowcount


def delete_expired(connection: Connection, *, kept_after_s: float) -> int:
    """Delete the memories that expired more than `kept_after_s` seconds ago; returns the number.

    The next maintenance run deletes their vectors.
    """
    if kept_after_s < 0:
        raise UsageError(f"kept_after_s is {kept_after_s:g}; give 0 or more.")
    return connection.execute(
        delete(Memory).where(Memory.expires_at <= func.now() - timedelta(seconds=kept_after_s))
    ).rowcount


def purge(connection: Connection, memory_id: UUID) -> int:
    """Delete the memory permanently, forgotten or not; returns the number of vectors deleted with it.

    Raises UsageError where it does not exist.
    """
    id_ = parse_id("memories.id", memory_id)
    hashes = connection.scalars(delete(Memory).where(Memory.id == id_).returning(Memory.content_hash)).all()
    if not hashes:
        raise entities.missing_row(Memory, id_)
    return delete_orphaned_vectors(connection, "memories", hashes)

"""Users: made, found by their address, changed, and purged with all that is theirs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from rag_assets.db.models import Conversation, Memory, User
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core import purge as purging
from rag_assets.repositories.core.values import parse_id, validate_row
from rag_assets.repositories.operations import memories


def create(connection: Connection, email: str, *, display_name: str | None = None) -> User:
    """A new user; raises UsageError where the address, in whatever case, is taken."""
    return entities.create_row(connection, User, {"email": _check_email(email), "display_name": display_name})


def get(connection: Connection, user_id: UUID) -> User:
    """The user; raises UsageError where there is none, or where it is deleted."""
    return entities.get_row(connection, User, user_id)


def find_by_email(connection: Connection, email: str) -> User | None:
    """The user with this address in whatever case, None where there is none or it is deleted."""
    address = func.lower(validate_row(User, {"email": email})["email"].strip())
    found = entities.fetch_all(
        connection, select(User).where(func.lower(User.email) == address, User.deleted_at.is_(None))
    )
    return found[0] if found else None


def update(connection: Connection, user_id: UUID, changes: Mapping[str, Any]) -> User:
    """Change `email` or `display_name`."""
    values = entities.check_changes(User, changes, "email", "display_name")
    if "email" in values:
        values["email"] = _check_email(values["email"])
    return entities.update_row(connection, User, user_id, values)


def soft_delete(connection: Connection, user_id: UUID) -> User:
    """Hide the user: sessions end at once, the address stays taken; `restore` takes it back."""
    return entities.soft_delete_row(connection, User, user_id)


def restore(connection: Connection, user_id: UUID) -> User:
    return entities.restore_row(connection, User, user_id)


def purge(connection: Connection, user_id: UUID) -> purging.PurgeCounts:
    """Remove the user for good, with sessions, memories, conversations and the vectors of these.

    What others forked of a conversation stays with them: see `purging.purge`.
    """
    if entities.find_row(connection, User, user_id) is None:
        raise UsageError(f"users have no row with the id {user_id}; look for it in their list.")
    user_id = parse_id("users.id", user_id)
    total = purging.PurgeCounts()
    # Forks before what they were forked of: nothing is handed on to what goes next.
    theirs = select(Conversation.id).where(Conversation.user_id == user_id).order_by(Conversation.created_at.desc())
    for id_ in connection.scalars(theirs).all():
        total += purging.purge_conversation(connection, id_)
    for id_ in connection.scalars(select(Memory.id).where(Memory.user_id == user_id)).all():
        total += purging.PurgeCounts(vectors=memories.purge(connection, id_))
    entities.delete_row(connection, User, user_id)
    return total


def _check_email(email: Any) -> Any:
    if not isinstance(email, str) or email.strip().find("@") < 1:
        raise UsageError(f"users.email is {email!r}; give an address such as ada@example.org.")
    return email.strip()

"""Users: create, find, change, hide, restore and purge them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from rag_assets.db.models import Conversation, Memory, User
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.purge import PurgeCounts, purge_conversation
from rag_assets.repositories.core.values import parse_id, validate_row
from rag_assets.repositories.operations import memories


def create(connection: Connection, email: str, *, display_name: str | None = None) -> User:
    """Create a user; raises UsageError where the address is taken, ignoring case, or is no e-mail address."""
    return entities.create_row(connection, User, {"email": _check_email(email), "display_name": display_name})


def get(connection: Connection, user_id: UUID) -> User:
    """The user; raises UsageError where it does not exist or is deleted."""
    return entities.get_row(connection, User, user_id)


def find_by_email(connection: Connection, email: str) -> User | None:
    """The user with this address, ignoring case; None where there is none or it is deleted."""
    address = func.lower(validate_row(User, {"email": email})["email"].strip())
    found = entities.fetch_all(
        connection, select(User).where(func.lower(User.email) == address, User.deleted_at.is_(None))
    )
    return found[0] if found else None


def update(connection: Connection, user_id: UUID, changes: Mapping[str, Any]) -> User:
    """Change `email` or `display_name`, and return the user.

    Raises UsageError for another column, an address that is taken, and a user that does not exist or is deleted.
    """
    values = entities.check_changes(User, changes, "email", "display_name")
    if "email" in values:
        values["email"] = _check_email(values["email"])
    return entities.update_row(connection, User, user_id, values)


def soft_delete(connection: Connection, user_id: UUID) -> User:
    """Hide the user, and return it; `restore` undoes it. Sessions are refused at once, the address stays taken.

    Raises UsageError where the user does not exist.
    """
    return entities.soft_delete_row(connection, User, user_id)


def restore(connection: Connection, user_id: UUID) -> User:
    """Undo `soft_delete`, and return the user; raises UsageError where it does not exist."""
    return entities.restore_row(connection, User, user_id)


def purge(connection: Connection, user_id: UUID) -> PurgeCounts:
    """Delete the user permanently, with sessions, memories, conversations and their unshared vectors.

    Forks of the conversations by other users keep the messages that they share. Returns the numbers of rows deleted;
    raises UsageError where the user does not exist.
    """
    user_id = parse_id("users.id", user_id)
    if entities.find_row(connection, User, user_id) is None:
        raise entities.missing_row(User, user_id)
    total = PurgeCounts()
    # Forks before their parents: no message moves to a conversation that is deleted next.
    of_user = select(Conversation.id).where(Conversation.user_id == user_id)
    for id_ in connection.scalars(of_user.order_by(Conversation.created_at.desc())).all():
        total += purge_conversation(connection, id_)
    for id_ in connection.scalars(select(Memory.id).where(Memory.user_id == user_id)).all():
        total += PurgeCounts(vectors=memories.purge(connection, id_))
    entities.delete_row(connection, User, user_id)
    return total


def _check_email(email: Any) -> Any:
    if not isinstance(email, str) or email.strip().find("@") < 1:
        raise UsageError(f"users.email is {email!r}; give an address such as ada@example.org.")
    return email.strip()

"""Conversations: create, read, list, rename, fork, hide and restore them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, func, select

from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.lineage import lock_lineage, readable_messages
from rag_assets.repositories.core.values import parse_id, validate_row


def create(
    connection: Connection, name: str, *, user_id: UUID | None = None, project_id: UUID | None = None
) -> Conversation:
    """Create an empty conversation; raises UsageError where the user or the project does not exist."""
    return entities.create_row(connection, Conversation, {"name": name, "user_id": user_id, "project_id": project_id})


def get(connection: Connection, conversation_id: UUID) -> Conversation:
    """The conversation; raises UsageError where it does not exist or is deleted."""
    return entities.get_row(connection, Conversation, conversation_id)


def list_by_user(
    connection: Connection,
    user_id: UUID,
    *,
    project_id: UUID | None = None,
    limit: int = 50,
    after: str | None = None,
) -> entities.Page[Conversation]:
    """A page of the user's conversations, newest first; `after` is the `next` of the page before."""
    statement = select(Conversation).where(
        Conversation.user_id == parse_id("users.id", user_id), Conversation.deleted_at.is_(None)
    )
    if project_id is not None:
        statement = statement.where(Conversation.project_id == parse_id("projects.id", project_id))
    return entities.fetch_page(connection, Conversation, statement, limit=limit, after=after)


def rename(connection: Connection, conversation_id: UUID, name: str) -> Conversation:
    """Change the name; returns the conversation. Raises UsageError where it does not exist or is deleted."""
    return entities.update_row(connection, Conversation, conversation_id, {"name": name})


def fork(
    connection: Connection,
    conversation_id: UUID,
    *,
    version: int | None = None,
    name: str | None = None,
    user_id: UUID | None = None,
) -> Conversation:
    """Create a conversation that shares this one's messages up to `version` (None: all) without copying them.

    Name and user are those of this one unless they are given; the project is the same. Raises UsageError for a version
    beyond the last one, and where the conversation does not exist or is deleted.
    """
    id_ = parse_id("conversations.id", conversation_id)
    lock_lineage(connection, id_)
    parent = get(connection, id_)
    if version is None:
        version = parent.latest_version
    if not 1 <= version <= parent.latest_version:
        raise UsageError(
            f"version is {version}; conversation {id_} can be forked at 1 to {parent.latest_version}."
            if parent.latest_version
            else f"conversation {id_} has no message yet to fork it at; append one first."
        )
    shared = readable_messages(id_, version).with_only_columns(
        func.count(), func.coalesce(func.sum(ConversationMessage.token_count), 0)
    )
    message_count, total_tokens = connection.execute(shared).one()
    values = {
        "name": parent.name if name is None else name,
        "user_id": parent.user_id if user_id is None else user_id,
        "project_id": parent.project_id,
        "parent_id": id_,
        "fork_version": version,
        "latest_version": version,
    }
    counts = {"message_count": message_count, "total_tokens": total_tokens}
    return entities.insert_row(connection, Conversation, validate_row(Conversation, values) | counts)


def list_forks(connection: Connection, conversation_id: UUID) -> Sequence[Conversation]:
    """The direct forks of this conversation that are not deleted, oldest first.

    Raises UsageError where the conversation does not exist or is deleted.
    """
    id_ = parse_id("conversations.id", conversation_id)
    entities.get_row(connection, Conversation, id_)
    statement = select(Conversation).where(Conversation.parent_id == id_, Conversation.deleted_at.is_(None))
    return entities.fetch_all(connection, statement.order_by(Conversation.created_at, Conversation.id))


def soft_delete(connection: Connection, conversation_id: UUID) -> Conversation:
    """Hide the conversation from lists and searches, and return it; its forks keep the messages that they share.

    Raises UsageError where it does not exist.
    """
    return entities.soft_delete_row(connection, Conversation, conversation_id)


def restore(connection: Connection, conversation_id: UUID) -> Conversation:
    """Undo `soft_delete`, and return the conversation; raises UsageError where it does not exist."""
    return entities.restore_row(connection, Conversation, conversation_id)

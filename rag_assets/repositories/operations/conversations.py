"""Conversations themselves: made, named, listed, hidden and brought back."""

from uuid import UUID

from sqlalchemy import Connection, select

from rag_assets.db.models import Conversation
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.values import parse_id


def create(
    connection: Connection, name: str, *, user_id: UUID | None = None, project_id: UUID | None = None
) -> Conversation:
    """A new, empty conversation."""
    return entities.create_row(connection, Conversation, {"name": name, "user_id": user_id, "project_id": project_id})


def get(connection: Connection, conversation_id: UUID) -> Conversation:
    """The conversation; raises UsageError where there is none, or where it is deleted."""
    return entities.get_row(connection, Conversation, conversation_id)


def list_by_user(
    connection: Connection,
    user_id: UUID,
    *,
    project_id: UUID | None = None,
    limit: int = 50,
    after: str | None = None,
) -> entities.Page[Conversation]:
    """A page of the user's conversations, the last begun first; `after` is the `next` of the page before."""
    statement = select(Conversation).where(
        Conversation.user_id == parse_id("users.id", user_id), Conversation.deleted_at.is_(None)
    )
    if project_id is not None:
        statement = statement.where(Conversation.project_id == parse_id("projects.id", project_id))
    return entities.fetch_page(connection, Conversation, statement, limit=limit, after=after)


def rename(connection: Connection, conversation_id: UUID, name: str) -> Conversation:
    return entities.update_row(connection, Conversation, conversation_id, {"name": name})


def soft_delete(connection: Connection, conversation_id: UUID) -> Conversation:
    """Hide the conversation from lists and searches; forks of it go on reading what they share."""
    return entities.soft_delete_row(connection, Conversation, conversation_id)


def restore(connection: Connection, conversation_id: UUID) -> Conversation:
    return entities.restore_row(connection, Conversation, conversation_id)

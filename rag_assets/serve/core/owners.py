"""Whose conversations and memories are: users by the name of a principal, and projects that it may see."""

from uuid import UUID

from sqlalchemy import Connection, Text, cast, func, or_, select

from rag_assets.db.models import ConversationMessage, Project, User
from rag_assets.repositories.base import Repository, async_method


def find_user_id(connection: Connection, name: str) -> UUID | None:
    """The user with this e-mail address or id, as the policies find it."""
    named = or_(func.lower(User.email) == func.lower(name), cast(User.id, Text) == name)
    return connection.scalar(select(User.id).where(named, User.deleted_at.is_(None)).limit(1))


def has_project(connection: Connection, project_id: UUID) -> bool:
    return connection.scalar(select(Project.id).where(Project.id == project_id)) is not None


def conversation_of_message(connection: Connection, message_id: UUID) -> UUID | None:
    statement = select(ConversationMessage.conversation_id).where(ConversationMessage.id == message_id)
    return connection.scalar(statement.where(ConversationMessage.deleted_at.is_(None)))


class DialogueOwners(Repository):
    """Reads for conversations and memories of the server."""

    find_user_id = async_method(find_user_id, "read")
    has_project = async_method(has_project, "read")
    conversation_of_message = async_method(conversation_of_message, "read")

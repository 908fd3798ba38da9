"""Forks: a conversation that goes on from an earlier message of another, of which it copies nothing."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, func, select

from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.lineage import lock_lineage, readable_messages
from rag_assets.repositories.core.values import parse_id, validate_row
from rag_assets.repositories.operations import conversations


def fork(
    connection: Connection,
    conversation_id: UUID,
    *,
    version: int | None = None,
    name: str | None = None,
    user_id: UUID | None = None,
) -> Conversation:
    """A conversation that shares this one's messages up to `version` (None: all), and goes on by itself.

    It has the name, the user and the project of the first one, where no other is given. Raises UsageError for a
    version beyond the last, or a conversation that is deleted.
    """
    id_ = parse_id("conversations.id", conversation_id)
    lock_lineage(connection, id_)
    parent = conversations.get(connection, id_)
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
    """The conversations that were forked of this one itself and are not deleted, the first one first."""
    id_ = parse_id("conversations.id", conversation_id)
    entities.require_row(Conversation, id_, entities.find_row(connection, Conversation, id_))
    statement = select(Conversation).where(Conversation.parent_id == id_, Conversation.deleted_at.is_(None))
    return entities.fetch_all(connection, statement.order_by(Conversation.created_at, Conversation.id))

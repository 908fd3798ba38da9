"""Delete conversations permanently, while their forks keep the messages that they share."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, delete, func, or_, select, update

from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.orphans import delete_orphaned_vectors
from rag_assets.repositories.core.values import parse_id


@dataclass(frozen=True, slots=True)
class PurgeCounts:
    """Rows deleted by a purge; `inherited` counts the messages that moved to a fork instead."""

    conversations: int = 0
    messages: int = 0
    inherited: int = 0
    vectors: int = 0

    def __add__(self, other: "PurgeCounts") -> "PurgeCounts":
        return PurgeCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def purge_conversation(connection: Connection, conversation_id: UUID) -> PurgeCounts:
    """Delete the conversation permanently, soft-deleted or not, with its messages and their unshared vectors.

    Messages that forks share move to the fork that shares most of them, and the other forks are attached to it, so
    that every fork shows the same messages as before. Nothing else of the conversation stays. Raises UsageError
    where it does not exist.
    """
    id_ = parse_id("conversations.id", conversation_id)
    conversation, forks = _lock_family(connection, id_)
    heir = max(forks, key=lambda fork: (fork.fork_version or 0, fork.id), default=None)
    last_shared = 0 if heir is None else heir.fork_version or 0
    hashes = connection.scalars(
        delete(ConversationMessage)
        .where(ConversationMessage.conversation_id == id_, ConversationMessage.version > last_shared)
        .returning(ConversationMessage.content_hash)
    ).all()
    inherited = 0
    if heir is not None:
        inherited = _move_to_heir(connection, conversation, heir)
    connection.execute(delete(Conversation).where(Conversation.id == id_))
    return PurgeCounts(1, len(hashes), inherited, delete_orphaned_vectors(connection, "messages", hashes))


def _lock_family(connection: Connection, id_: UUID) -> tuple[Conversation, list[Conversation]]:
    """The conversation and its forks, locked with its parent until this transaction ends."""
    parent = select(Conversation.parent_id).where(Conversation.id == id_).scalar_subquery()
    family = or_(Conversation.id == id_, Conversation.parent_id == id_, Conversation.id == parent)
    # In the order of ids, as everywhere that locks several conversations, so that no two can deadlock.
    connection.execute(select(Conversation.id).where(family).order_by(Conversation.id).with_for_update())
    conversation = entities.find_row(connection, Conversation, id_)
    if conversation is None:
        raise entities.missing_row(Conversation, id_)
    return conversation, entities.fetch_all(connection, select(Conversation).where(Conversation.parent_id == id_))


def _move_to_heir(connection: Connection, conversation: Conversation, heir: Conversation) -> int:
    """Move the remaining messages and the place in the tree to the heir; returns the number of messages."""
    # This is no edit of these conversations, so `updated_at` stays.
    unchanged = {"updated_at": Conversation.updated_at}
    moved = connection.execute(
        update(ConversationMessage)
        .where(ConversationMessage.conversation_id == conversation.id)
        .values(conversation_id=heir.id)
    )
    # The heir may be forked at a version before the one at which its parent was forked.
    forked_at = None if conversation.fork_version is None else func.least(conversation.fork_version, heir.fork_version)
    connection.execute(
        update(Conversation)
        .where(Conversation.id == heir.id)
        .values(parent_id=conversation.parent_id, fork_version=forked_at, **unchanged)
    )
    connection.execute(
        update(Conversation).where(Conversation.parent_id == conversation.id).values(parent_id=heir.id, **unchanged)
    )
    return moved.rowcount

"""Conversations removed for good, without taking from their forks what these read."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, delete, func, or_, select, update

from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.orphans import delete_orphaned_vectors
from rag_assets.repositories.core.values import parse_id


@dataclass(frozen=True, slots=True)
class PurgeCounts:
    """What is gone, and how many messages went over to a fork that reads them."""

    conversations: int = 0
    messages: int = 0
    inherited: int = 0
    vectors: int = 0

    def __add__(self, other: "PurgeCounts") -> "PurgeCounts":
        return PurgeCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def purge_conversation(connection: Connection, conversation_id: UUID) -> PurgeCounts:
    """Remove the conversation, deleted before or not, its messages, and the vectors that nobody else needs.

    What forks read of it becomes the own part of the fork that reads most, through which the others read on:
    to them nothing changes. No trace of the conversation itself stays.
    """
    id_ = parse_id("conversations.id", conversation_id)
    conversation, forks = _lock_family(connection, id_)
    heir = max(forks, key=lambda fork: (fork.fork_version or 0, fork.id), default=None)
    kept_up_to = 0 if heir is None else heir.fork_version or 0
    hashes = connection.scalars(
        delete(ConversationMessage)
        .where(ConversationMessage.conversation_id == id_, ConversationMessage.version > kept_up_to)
        .returning(ConversationMessage.content_hash)
    ).all()
    inherited = 0
    if heir is not None:
        inherited = _move_to_heir(connection, conversation, heir)
    connection.execute(delete(Conversation).where(Conversation.id == id_))
    return PurgeCounts(1, len(hashes), inherited, delete_orphaned_vectors(connection, "messages", hashes))


def _lock_family(connection: Connection, id_: UUID) -> tuple[Conversation, list[Conversation]]:
    """The conversation and its forks, with the parent locked until this transaction ends."""
    parent = select(Conversation.parent_id).where(Conversation.id == id_).scalar_subquery()
    family = or_(Conversation.id == id_, Conversation.parent_id == id_, Conversation.id == parent)
    # In the order of ids, as all who lock more than one conversation do: none waits for another in a circle.
    connection.execute(select(Conversation.id).where(family).order_by(Conversation.id).with_for_update())
    found = entities.find_row(connection, Conversation, id_)
    if found is None:
        entities.require_row(Conversation, id_, None)
    assert found is not None
    return found, entities.fetch_all(connection, select(Conversation).where(Conversation.parent_id == id_))


def _move_to_heir(connection: Connection, conversation: Conversation, heir: Conversation) -> int:
    """Give the heir the messages that are left, and the place in the tree; returns how many messages."""
    # Nobody edited these conversations: when they were last changed stays as it is.
    unchanged = {"updated_at": Conversation.updated_at}
    moved = connection.execute(
        update(ConversationMessage)
        .where(ConversationMessage.conversation_id == conversation.id)
        .values(conversation_id=heir.id)
    )
    # The heir may have been forked at a message from before its parent was forked itself.
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

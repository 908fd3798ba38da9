"""What is read in a conversation: its own messages, and those of its ancestors up to where it was forked."""

from uuid import UUID

from sqlalchemy import CTE, BigInteger, Connection, Select, and_, func, literal, select

from rag_assets.db.models import Conversation, ConversationMessage

MAX_VERSION = 2**63 - 1


def lineage(conversation_id: UUID, up_to: int = MAX_VERSION) -> CTE:
    """The conversation and its ancestors: id, and `up_to`, the last version that is read of each.

    A soft-deleted ancestor is read like any other: whoever forked it has seen what is in it.
    """
    columns = (Conversation.id, Conversation.parent_id, Conversation.fork_version)
    start = select(*columns, literal(up_to, BigInteger).label("up_to")).where(Conversation.id == conversation_id)
    child = start.cte("lineage", recursive=True)
    parents = select(*columns, func.least(child.c.up_to, child.c.fork_version)).join(
        child, Conversation.id == child.c.parent_id
    )
    return child.union_all(parents)


def descendants(conversation_id: UUID, version: int) -> CTE:
    """The conversation, and all in which its message of this version is read: id."""
    start = select(Conversation.id).where(Conversation.id == conversation_id)
    parent = start.cte("descendants", recursive=True)
    forks = select(Conversation.id).where(Conversation.parent_id == parent.c.id, Conversation.fork_version >= version)
    return parent.union_all(forks)


def readable_messages(conversation_id: UUID, up_to: int = MAX_VERSION) -> Select[ConversationMessage]:
    """The messages that are read in the conversation, in no order."""
    read = lineage(conversation_id, up_to)
    return select(ConversationMessage).join(
        read,
        and_(
            ConversationMessage.conversation_id == read.c.id,
            ConversationMessage.version <= read.c.up_to,
            ConversationMessage.deleted_at.is_(None),
        ),
    )


def lock_lineage(connection: Connection, conversation_id: UUID) -> None:
    """Nobody appends to the conversation or its ancestors, or removes from them, before this transaction ends."""
    ids = select(lineage(conversation_id).c.id)
    # In the order of ids, as all who lock more than one conversation do: none waits for another in a circle.
    connection.execute(
        select(Conversation.id).where(Conversation.id.in_(ids)).order_by(Conversation.id).with_for_update(read=True)
    )

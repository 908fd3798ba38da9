"""Which messages a conversation shows: its own, and those of its ancestors up to the version of each fork."""

from uuid import UUID

from sqlalchemy import CTE, BigInteger, Connection, Select, and_, func, literal, select

from rag_assets.db.models import Conversation, ConversationMessage
from rag_assets.errors import UsageError

MAX_VERSION = 2**63 - 1


def lineage(conversation_id: UUID, up_to: int = MAX_VERSION) -> CTE:
    """The conversation and its ancestors, as rows of (id, up_to): the last version of each that is shown.

    Soft-deleted ancestors are included: the user who forked one has seen its messages.
    """
    columns = (Conversation.id, Conversation.parent_id, Conversation.fork_version)
    start = select(*columns, literal(up_to, BigInteger).label("up_to")).where(Conversation.id == conversation_id)
    child = start.cte("lineage", recursive=True)
    parents = select(*columns, func.least(child.c.up_to, child.c.fork_version)).join(
        child, Conversation.id == child.c.parent_id
    )
    return child.union_all(parents)


def descendants(conversation_id: UUID, version: int) -> CTE:
    """The ids of the conversation and of all forks that show its message of this version."""
    start = select(Conversation.id).where(Conversation.id == conversation_id)
    parent = start.cte("descendants", recursive=True)
    forks = select(Conversation.id).where(Conversation.parent_id == parent.c.id, Conversation.fork_version >= version)
    return parent.union_all(forks)


def readable_messages(conversation_id: UUID, up_to: int = MAX_VERSION) -> Select[ConversationMessage]:
    """SELECT of the messages that the conversation shows, unordered and without deleted ones."""
    visible = lineage(conversation_id, up_to)
    return select(ConversationMessage).join(
        visible,
        and_(
            ConversationMessage.conversation_id == visible.c.id,
            ConversationMessage.version <= visible.c.up_to,
            ConversationMessage.deleted_at.is_(None),
        ),
    )


def lock_lineage(connection: Connection, conversation_id: UUID) -> None:
    """Block appends to and deletions from the conversation and its ancestors until this transaction ends."""
    ids = select(lineage(conversation_id).c.id)
    # In the order of ids, as everywhere that locks several conversations, so that no two can deadlock.
    connection.execute(
        select(Conversation.id).where(Conversation.id.in_(ids)).order_by(Conversation.id).with_for_update(read=True)
    )


def check_version(name: str, value: int | None) -> int:
    """The version, for None the largest possible one; raises UsageError for one below 1."""
    if value is None:
        return MAX_VERSION
    if not 1 <= value <= MAX_VERSION:
        raise UsageError(f"{name} is {value}; count from 1.")
    return value

"""Messages as something that a vector search can search, and the filters on them."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select

from rag_assets.db.connections.compiled import Clauses
from rag_assets.db.models import Conversation, ConversationMessage, Project
from rag_assets.errors import UsageError
from rag_assets.repositories.core.lineage import lineage
from rag_assets.repositories.operations.messages import Role
from rag_assets.search.filters.document_filters import is_any_of
from rag_assets.search.vector.searchables import Searchable


class MessageRow(NamedTuple):
    """One row of a search: the distance, and the columns of a message."""

    distance: float
    message_id: UUID
    conversation_id: UUID
    conversation: str
    user_id: UUID | None
    project: str | None
    version: int
    role: str
    tool_name: str | None
    content: str
    created_at: datetime


_COLUMNS = (
    ConversationMessage.id.label("message_id"),
    Conversation.id.label("conversation_id"),
    Conversation.name.label("conversation"),
    Conversation.user_id,
    Project.name.label("project"),
    ConversationMessage.version,
    ConversationMessage.role,
    ConversationMessage.tool_name,
    ConversationMessage.content,
    ConversationMessage.created_at,
)


def _searchable(*is_current: ColumnElement[bool]) -> Searchable:
    return Searchable(
        columns=_COLUMNS,
        table=ConversationMessage,
        content_hash=ConversationMessage.content_hash,
        joins=lambda statement: statement.join(
            Conversation, Conversation.id == ConversationMessage.conversation_id
        ).outerjoin(Project, Project.id == Conversation.project_id),
        is_current=lambda _: and_(*is_current),
        # The newest of equal texts first: people look for what was said last.
        tie_order=(ConversationMessage.created_at.desc(), ConversationMessage.id),
    )


MESSAGES = _searchable(ConversationMessage.deleted_at.is_(None), Conversation.deleted_at.is_(None))
# Within one conversation: a fork shows the messages of its ancestors even where these are deleted.
CONVERSATION_MESSAGES = _searchable(ConversationMessage.deleted_at.is_(None))


@dataclass(frozen=True, slots=True)
class MessageFilters:
    """Conditions on messages, all of which must hold.

    `conversation_id`: the messages of this conversation, with those of its ancestors before the fork. Times are aware
    datetimes; the range includes its start and excludes its end. Raises UsageError for values that cannot be used.
    """

    user_id: UUID | None = None
    conversation_id: UUID | None = None
    projects: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    clauses: Clauses = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clauses", Clauses(list(self._conditions())))

    @property
    def searchable(self) -> Searchable:
        return MESSAGES if self.conversation_id is None else CONVERSATION_MESSAGES

    @property
    def key(self) -> Hashable:
        return self

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        message = ConversationMessage
        if self.user_id is not None:
            yield Conversation.user_id == self.user_id
        if self.conversation_id is not None:
            visible = lineage(self.conversation_id)
            ancestor = select(visible.c.id).where(
                visible.c.id == message.conversation_id, message.version <= visible.c.up_to
            )
            yield ancestor.correlate(message).exists()
        if self.projects:
            yield is_any_of(Project.name, self.projects)
        if self.roles:
            unknown = [role for role in self.roles if role not in get_args(Role)]
            if unknown:
                raise UsageError(f"roles has {unknown[0]!r}; choose from {', '.join(get_args(Role))}.")
            yield is_any_of(message.role, self.roles)
        if self.created_from and self.created_to and self.created_from >= self.created_to:
            raise UsageError(
                f"created_from {self.created_from} is not before created_to {self.created_to}; "
                "swap them or widen the range."
            )
        if self.created_from:
            yield message.created_at >= self.created_from
        if self.created_to:
            yield message.created_at < self.created_to

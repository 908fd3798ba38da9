"""Messages as a subject of searches, and what a hit must be, whatever its score."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, get_args
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select

from rag_assets.db.connections.compiled import Clauses
from rag_assets.db.models import Conversation, ConversationMessage, Project
from rag_assets.errors import UsageError
from rag_assets.repositories.core.lineage import lineage
from rag_assets.repositories.operations.messages import Role
from rag_assets.search.filters.document_filters import among
from rag_assets.search.vector.searchables import Subject


class MessageRow(NamedTuple):
    """One row of a search: the distance, and what is shown of a message."""

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


def _subject(*in_force: ColumnElement[bool]) -> Subject:
    return Subject(
        columns=_COLUMNS,
        table=ConversationMessage,
        content_hash=ConversationMessage.content_hash,
        joins=lambda statement: statement.join(
            Conversation, Conversation.id == ConversationMessage.conversation_id
        ).outerjoin(Project, Project.id == Conversation.project_id),
        in_force=lambda _: and_(*in_force),
        # Of equal texts the newest first: what was said last is what people look for.
        order=(ConversationMessage.created_at.desc(), ConversationMessage.id),
    )


MESSAGES = _subject(ConversationMessage.deleted_at.is_(None), Conversation.deleted_at.is_(None))
# A fork reads through its ancestors, also where these are deleted themselves.
MESSAGES_READ = _subject(ConversationMessage.deleted_at.is_(None))


@dataclass(frozen=True, slots=True)
class MessageFilters:
    """All given conditions hold at once; of a conversation, all that is read in it, its ancestors' part included.

    Times are aware datetimes; the range includes its start and leaves out its end.
    """

    user_id: UUID | None = None
    conversation_id: UUID | None = None
    projects: Sequence[str] = ()
    roles: Sequence[str] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None

    @property
    def subject(self) -> Subject:
        return MESSAGES if self.conversation_id is None else MESSAGES_READ

    def clauses(self) -> Clauses:
        """On messages, conversations and projects, every value bound; raises UsageError for what cannot be."""
        return Clauses(list(self._conditions()))

    def key(self) -> Hashable:
        return repr(self)

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        message = ConversationMessage
        if self.user_id is not None:
            yield Conversation.user_id == self.user_id
        if self.conversation_id is not None:
            read = lineage(self.conversation_id)
            in_it = select(read.c.id).where(read.c.id == message.conversation_id, message.version <= read.c.up_to)
            yield in_it.correlate(message).exists()
        if self.projects:
            yield among(Project.name, self.projects)
        if self.roles:
            unknown = [role for role in self.roles if role not in get_args(Role)]
            if unknown:
                raise UsageError(f"roles has {unknown[0]!r}; choose from {', '.join(get_args(Role))}.")
            yield among(message.role, self.roles)
        if self.created_from and self.created_to and self.created_from >= self.created_to:
            raise UsageError(
                f"created_from {self.created_from} is not before created_to {self.created_to}; "
                "swap them or widen the range."
            )
        if self.created_from:
            yield message.created_at >= self.created_from
        if self.created_to:
            yield message.created_at < self.created_to

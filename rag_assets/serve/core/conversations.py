"""Conversations and memories, as a principal may see and change them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rag_assets.client import AsyncClient
from rag_assets.db.access.viewer import viewing_as
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.serve.access.principal import ForbiddenError, Principal
from rag_assets.serve.core.owners import DialogueOwners

if TYPE_CHECKING:
    from rag_assets.db.models import Conversation, ConversationMessage, Memory
    from rag_assets.repositories import NewMessage
    from rag_assets.search.kinds.memories import MemoryAnswer


@dataclass(frozen=True, slots=True)
class ServedConversation:
    """A conversation; the counts cover its own messages and those that it shares with what it was forked from."""

    id: UUID
    name: str
    project_id: UUID | None
    user_id: UUID | None
    message_count: int
    total_tokens: int
    latest_version: int
    parent_id: UUID | None
    fork_version: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ServedMessage:
    """A message of a conversation, in which versions count from 1."""

    id: UUID
    conversation_id: UUID
    version: int
    role: str
    content: str
    token_count: int
    tool_call_id: str | None
    tool_name: str | None
    model: str | None
    metadata: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ServedMemory:
    """What is remembered."""

    id: UUID
    content: str
    user_id: UUID | None
    project_id: UUID | None
    specialization_id: UUID | None
    importance: float
    recall_count: int
    last_recalled_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Dialogues:
    """Conversations and memories of a client, each call for a principal.

    What belongs to a project is for those who may see it. A conversation without a project is for principals of all
    projects; a memory without one is for every principal that knows its user. To a principal with a user belongs what
    is that user's, and nothing else.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._owners = client.repository(DialogueOwners)

    async def create(
        self, principal: Principal, name: str, project: str | None, user_id: UUID | None
    ) -> ServedConversation:
        principal.check_write()
        project_id = await self._project_id(principal, project)
        user_id = await self._writing_user(principal, user_id)
        return _conversation(await self._client.conversations.create(name, user_id=user_id, project_id=project_id))

    async def get(self, principal: Principal, conversation_id: UUID) -> ServedConversation:
        return _conversation(await self._readable(principal, conversation_id))

    async def append(
        self, principal: Principal, conversation_id: UUID, messages: "Sequence[NewMessage]"
    ) -> list[ServedMessage]:
        principal.check_write()
        await self._readable(principal, conversation_id)
        return list(map(_message, await self._client.conversations.append_many(conversation_id, messages)))

    async def history(
        self, principal: Principal, conversation_id: UUID, up_to: int | None, limit: int | None
    ) -> list[ServedMessage]:
        await self._readable(principal, conversation_id)
        found = await self._client.conversations.history(conversation_id, up_to=up_to, limit=limit)
        return list(map(_message, found))

    async def fork(
        self, principal: Principal, conversation_id: UUID, version: int | None, name: str | None, user_id: UUID | None
    ) -> ServedConversation:
        principal.check_write()
        await self._readable(principal, conversation_id)
        user_id = await self._writing_user(principal, user_id)
        made = await self._client.conversations.fork(conversation_id, version=version, name=name, user_id=user_id)
        return _conversation(made)

    async def remember(
        self, principal: Principal, content: str, project: str | None, values: dict[str, Any]
    ) -> ServedMemory:
        principal.check_write()
        project_id = await self._project_id(principal, project)
        values = values | {"user_id": await self._writing_user(principal, values.get("user_id"))}
        if values.get("source_message_id") is not None:
            await self._check_message(principal, values["source_message_id"])
        return _memory(await self._client.memories.remember(content, project_id=project_id, **values))

    async def recall(
        self, principal: Principal, query: str, project: str | None, options: dict[str, Any]
    ) -> "MemoryAnswer":
        """The best memories; counted as recalled where the principal may write."""
        project_id = await self._project_id(principal, project)
        if principal.user is not None:
            options = options | {"user_id": await self._user_id(principal, options.get("user_id"))}
        answer: MemoryAnswer = await self._client.search(query, kinds="memories", project_id=project_id, **options)
        if principal.may_write and answer.hits:
            await self._client.memories.record_recall([hit.memory_id for hit in answer.hits])
        return answer

    async def _readable(self, principal: Principal, conversation_id: UUID) -> "Conversation":
        try:
            found = await self._client.conversations.get(conversation_id)
        except NotFoundError:
            found = None
        if found is None or not await self._is_theirs(principal, found):
            raise NotFoundError(f"there is no conversation {conversation_id}; create one.")
        return found

    async def _is_theirs(self, principal: Principal, found: "Conversation") -> bool:
        if not principal.may_read(found.project_id):
            return False
        if principal.user is not None:
            user_id = await self._owners.find_user_id(principal.user)
            if user_id is None or user_id != found.user_id:
                return False
        if principal.is_owner or found.project_id is None:
            return True
        with viewing_as(principal.viewer):
            return await self._owners.has_project(found.project_id)

    async def _check_message(self, principal: Principal, message_id: UUID) -> None:
        conversation_id = await self._owners.conversation_of_message(message_id)
        try:
            if conversation_id is None:
                raise NotFoundError
            await self._readable(principal, conversation_id)
        except NotFoundError:
            raise NotFoundError(f"there is no message {message_id}; leave source_message_id out.") from None

    async def _user_id(self, principal: Principal, given: UUID | None) -> UUID | None:
        """The user of the principal, else the one that is given; None where the principal's has no row yet.

        Raises ForbiddenError for another user, whether that one exists or not.
        """
        if principal.user is None:
            return given
        found = await self._owners.find_user_id(principal.user)
        if given is not None and given != found:
            raise ForbiddenError("this caller reads and writes as one user; leave user_id out.")
        return found

    async def _writing_user(self, principal: Principal, given: UUID | None) -> UUID | None:
        """Same as `_user_id`; a user of an e-mail address is created at its first writing."""
        found = await self._user_id(principal, given)
        if found is not None or principal.user is None:
            return found
        if "@" not in principal.user:
            raise ForbiddenError(
                f"there is no user {principal.user!r}; create it with an e-mail address, and let callers come by that "
                "address or the id (RAG_ASSETS_OIDC_USER_CLAIM, keys add --user)."
            )
        try:
            return (await self._client.users.create(principal.user)).id
        except UsageError:
            # Another request was first, or the user is deleted.
            found = await self._owners.find_user_id(principal.user)
            if found is None:
                raise ForbiddenError(f"the user {principal.user!r} is deleted; restore it first.") from None
            return found

    async def _project_id(self, principal: Principal, name: str | None) -> UUID | None:
        if name is None:
            if principal.projects is not None:
                raise ForbiddenError(f"this key is for {len(principal.projects)} projects only; name one as `project`.")
            return None
        principal.check_projects([name])
        with viewing_as(principal.viewer):
            return (await self._client.projects.get(name)).id


def _conversation(row: "Conversation") -> ServedConversation:
    return ServedConversation(*(getattr(row, field.name) for field in fields(ServedConversation)))


def _message(row: "ConversationMessage") -> ServedMessage:
    names = ("message_metadata" if field.name == "metadata" else field.name for field in fields(ServedMessage))
    return ServedMessage(*(getattr(row, name) for name in names))


def _memory(row: "Memory") -> ServedMemory:
    return ServedMemory(*(getattr(row, field.name) for field in fields(ServedMemory)))

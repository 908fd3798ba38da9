"""The routes of conversations and memories."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from rag_assets.repositories import NewMessage
from rag_assets.search.kinds.memories import MemoryAnswer
from rag_assets.serve.core.conversations import Dialogues, ServedConversation, ServedMemory, ServedMessage
from rag_assets.serve.http.bodies import (
    AppendBody,
    ConversationBody,
    ForkBody,
    MemoryBody,
    RecallBody,
    body_schema,
    parse_body,
)
from rag_assets.serve.http.openapi import answer_schema
from rag_assets.serve.http.responses import json_response
from rag_assets.serve.http.search_routes import principal_of

CREATED = 201
_MAX_VERSION = 2**63 - 1


def conversation_router(dialogues: Dialogues) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["conversations and memories"])

    @router.post(
        "/conversations",
        status_code=CREATED,
        responses=answer_schema(ServedConversation, status=CREATED),
        openapi_extra=dict(body_schema(ConversationBody)),
    )
    async def create_conversation(request: Request) -> Response:
        """Create an empty conversation."""
        body = await parse_body(request, ConversationBody)
        made = await dialogues.create(principal_of(request), body.name, body.project, body.user_id)
        return json_response(made, CREATED)

    @router.get("/conversations/{conversation_id}", responses=answer_schema(ServedConversation))
    async def get_conversation(request: Request, conversation_id: UUID) -> Response:
        """The conversation without its messages."""
        return json_response(await dialogues.get(principal_of(request), conversation_id))

    @router.get("/conversations/{conversation_id}/messages", responses=answer_schema(ServedMessage, key="messages"))
    async def get_messages(
        request: Request,
        conversation_id: UUID,
        up_to: Annotated[int | None, Query(ge=1, le=_MAX_VERSION)] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    ) -> Response:
        """The newest messages up to the version `up_to`, oldest first."""
        found = await dialogues.history(principal_of(request), conversation_id, up_to, limit)
        return json_response({"messages": found})

    @router.post(
        "/conversations/{conversation_id}/messages",
        status_code=CREATED,
        responses=answer_schema(ServedMessage, key="messages", status=CREATED),
        openapi_extra=dict(body_schema(AppendBody)),
    )
    async def append_messages(request: Request, conversation_id: UUID) -> Response:
        """Append messages, all or none; they get the next versions."""
        body = await parse_body(request, AppendBody)
        messages = [NewMessage(**message.given()) for message in body.messages]
        added = await dialogues.append(principal_of(request), conversation_id, messages)
        return json_response({"messages": added}, CREATED)

    @router.post(
        "/conversations/{conversation_id}/fork",
        status_code=CREATED,
        responses=answer_schema(ServedConversation, status=CREATED),
        openapi_extra=dict(body_schema(ForkBody)),
    )
    async def fork_conversation(request: Request, conversation_id: UUID) -> Response:
        """Create a conversation that shares the messages of this one up to `version`."""
        body = await parse_body(request, ForkBody)
        made = await dialogues.fork(principal_of(request), conversation_id, body.version, body.name, body.user_id)
        return json_response(made, CREATED)

    @router.post(
        "/memories",
        status_code=CREATED,
        responses=answer_schema(ServedMemory, status=CREATED),
        openapi_extra=dict(body_schema(MemoryBody)),
    )
    async def remember(request: Request) -> Response:
        """Store a text to remember. Where its owner has it already, it is reinforced."""
        body = await parse_body(request, MemoryBody)
        values = body.given("content", "project")
        return json_response(
            await dialogues.remember(principal_of(request), body.content, body.project, values), CREATED
        )

    @router.post("/memories/recall", responses=answer_schema(MemoryAnswer), openapi_extra=dict(body_schema(RecallBody)))
    async def recall(request: Request) -> Response:
        """The memories with the highest scores; each is counted as recalled where the key may write."""
        body = await parse_body(request, RecallBody)
        options = {name: value for name, value in body.given("query", "project").items() if value is not None}
        return json_response(await dialogues.recall(principal_of(request), body.query, body.project, options))

    return router

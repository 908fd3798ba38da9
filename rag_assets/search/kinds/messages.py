"""Vector search over messages: of a user, a conversation, a project, or all."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.models import EmbeddingSpace
from rag_assets.projects.store import get_project
from rag_assets.repositories.core.values import parse_id
from rag_assets.repositories.operations import conversations
from rag_assets.search.execution.executor import SearchContext
from rag_assets.search.execution.modes import similarity_scores
from rag_assets.search.filters.document_filters import check_time
from rag_assets.search.kinds.message_filters import MessageFilters, MessageRow
from rag_assets.search.request import Query, SearchRequest, check_options, make_request
from rag_assets.search.vector.nearest import KnnQuery, KnnResult, search_nearest
from rag_assets.search.vector.selectivity import SelectivityCache
from rag_assets.validation import check_names


class MessageOptions(TypedDict, total=False):
    """How to search messages; all optional. Filters never cost hits: k come back whenever k messages pass.

    - `k`, `min_score`, `exact`, `ef_search`, `timeout_s`: as in `Options`.
    - `user_id`: messages in this user's conversations. `project`: in conversations of this project, or of several.
    - `conversation_id`: messages of this conversation, with those of its ancestors before the fork.
    - `roles`: one or several of user, assistant, system, tool.
    - `created_from`, `created_to`: aware datetimes; the range excludes its end.
    """

    k: int
    user_id: UUID | None
    conversation_id: UUID | None
    project: str | Sequence[str] | None
    roles: str | Sequence[str] | None
    created_from: datetime | None
    created_to: datetime | None
    min_score: float | None
    exact: bool
    ef_search: int | None
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class MessageHit:
    """One message and the conversation that it belongs to; `score` as in `Hit`: higher is nearer.

    `version` is its number in the conversation.
    """

    rank: int
    score: float
    message_id: UUID
    conversation_id: UUID
    conversation: str
    user_id: UUID | None
    project: str | None
    version: int
    role: str
    tool_name: str | None
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MessageAnswer:
    """The hits, best first, and how they were found; the fields are those of `Answer`."""

    query: str
    space: int
    hits: list[MessageHit]
    took_ms: float
    embedding_ms: float
    plan: str
    considered: int
    ef_search: int | None


_REQUEST_OPTIONS = ("k", "min_score", "exact", "ef_search", "timeout_s")


def search_messages(context: SearchContext, query: Query, options: MessageOptions) -> MessageAnswer:
    check_options("a search of messages", options, MessageOptions.__annotations__)
    request_options: Any = {name: value for name, value in options.items() if name in _REQUEST_OPTIONS}
    request = make_request(query, request_options | {"mode": "vector"})
    return context.live.run(_answer, context, request, _read_filters(options))


def _answer(
    space: EmbeddingSpace, context: SearchContext, request: SearchRequest, filters: MessageFilters
) -> MessageAnswer:
    vector, embedding_ms = context.embedder.embed(space, request, context.live)
    knn = context.knn_query(space, request, vector, filters, filters.searchable)
    started = time.perf_counter()
    result = context.live.read(space, _search, knn, filters, context.selectivity, timeout_s=request.timeout_s)
    took_ms = (time.perf_counter() - started) * 1000
    return MessageAnswer(
        query=request.text,
        space=space.id,
        hits=_hits(knn, result, request.min_score),
        took_ms=round(took_ms, 2),
        embedding_ms=round(embedding_ms, 2),
        plan=result.plan,
        considered=result.considered,
        ef_search=knn.ef_search if result.plan == "index" else None,
    )


def _search(
    connection: Connection,
    _: EmbeddingSpace,
    knn: KnnQuery,
    filters: MessageFilters,
    selectivity: SelectivityCache,
) -> KnnResult:
    for name in filters.projects:
        get_project(connection, name)
    if filters.conversation_id is not None:
        conversations.get(connection, filters.conversation_id)
    return search_nearest(connection, knn, selectivity)


def _read_filters(options: MessageOptions) -> MessageFilters:
    user_id, conversation_id = options.get("user_id"), options.get("conversation_id")
    return MessageFilters(
        user_id=None if user_id is None else parse_id("user_id", user_id),
        conversation_id=None if conversation_id is None else parse_id("conversation_id", conversation_id),
        projects=check_names("project", options.get("project")),
        roles=check_names("roles", options.get("roles")),
        created_from=check_time("created_from", options.get("created_from")),
        created_to=check_time("created_to", options.get("created_to")),
    )


def _hits(knn: KnnQuery, result: KnnResult, min_score: float | None) -> list[MessageHit]:
    scored = zip(similarity_scores(knn, result), map(MessageRow._make, result.rows), strict=True)
    chosen = [one for one in scored if min_score is None or one[0] >= min_score]
    return [
        MessageHit(
            rank=rank,
            score=score,
            message_id=row.message_id,
            conversation_id=row.conversation_id,
            conversation=row.conversation,
            user_id=row.user_id,
            project=row.project,
            version=row.version,
            role=row.role,
            tool_name=row.tool_name,
            text=row.content,
            created_at=row.created_at,
        )
        for rank, (score, row) in enumerate(chosen, start=1)
    ]

"""Search in what was said: messages by meaning, of a user, a conversation, a project, or all."""

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
from rag_assets.search.execution.live_space import Live
from rag_assets.search.execution.modes import scores
from rag_assets.search.execution.query_embedding import Asking
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.filters.document_filters import checked_time
from rag_assets.search.kinds.message_filters import MessageFilters, MessageRow
from rag_assets.search.request import Query, Request, check_options, make_request
from rag_assets.search.vector.nearest import Nearest, nearest_rows
from rag_assets.search.vector.selectivity import Counts
from rag_assets.validation import check_names


class MessageOptions(TypedDict, total=False):
    """How to search messages; all optional. Filters never cost hits: k come back whenever k messages qualify.

    - `k`, `min_score`, `exact`, `ef_search`, `timeout_s`: as in `Options`.
    - `user_id`: of this user's conversations; `project`: of conversations in this project, or in one of several.
    - `conversation_id`: all that is read in this conversation, what its ancestors said before the fork included.
    - `roles`: one or several of user, assistant, system, tool.
    - `created_from`, `created_to`: aware datetimes; the range leaves out its end.
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
    """One message, in the conversation in which it was said; more `score` is nearer, as in `Hit`."""

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
    """The hits, best first, and how they were found: as in `Answer`."""

    query: str
    space: int
    hits: list[MessageHit]
    took_ms: float
    embedding_ms: float
    plan: str
    considered: int
    ef_search: int | None


_SHARED = ("k", "min_score", "exact", "ef_search", "timeout_s")


def search_messages(
    reader: Reader,
    asking: Asking,
    live: Live,
    counts: Counts,
    query: Query,
    options: MessageOptions,
    *,
    ef_search: int | None = None,
) -> MessageAnswer:
    """Where the options name no `ef_search`, that of the caller counts, then the space's own."""
    check_options("a search of messages", options, MessageOptions.__annotations__)
    shared: Any = {name: value for name, value in options.items() if name in _SHARED}
    request = make_request(query, shared | {"mode": "vector"})
    filters = _filters(options)

    def answer(space: EmbeddingSpace) -> MessageAnswer:
        vector, embedding_ms = asking.vector(live, space, request)
        width = min(1000, max(request.k, request.ef_search or ef_search or space.ef_search))

        def search(connection: Connection) -> Nearest:
            live.confirm(connection, space)
            _check_known(connection, filters)
            return nearest_rows(
                connection,
                space,
                vector,
                k=request.k,
                ef_search=width,
                filters=filters,
                counts=counts,
                exact=request.exact,
                subject=filters.subject,
            )

        started = time.perf_counter()
        nearest = reader.read(search, timeout_s=request.timeout_s, transaction=True)
        return MessageAnswer(
            query=request.text,
            space=space.id,
            hits=_hits(space, request, nearest),
            took_ms=round((time.perf_counter() - started) * 1000, 2),
            embedding_ms=round(embedding_ms, 2),
            plan=nearest.plan,
            considered=nearest.considered,
            ef_search=width if nearest.plan == "index" else None,
        )

    return live.run(answer)


def _filters(options: MessageOptions) -> MessageFilters:
    user_id, conversation_id = options.get("user_id"), options.get("conversation_id")
    filters = MessageFilters(
        user_id=None if user_id is None else parse_id("user_id", user_id),
        conversation_id=None if conversation_id is None else parse_id("conversation_id", conversation_id),
        projects=check_names("project", options.get("project")),
        roles=check_names("roles", options.get("roles")),
        created_from=checked_time("created_from", options.get("created_from")),
        created_to=checked_time("created_to", options.get("created_to")),
    )
    # Refused before a model or the database does anything for it.
    filters.clauses()
    return filters


def _check_known(connection: Connection, filters: MessageFilters) -> None:
    for name in filters.projects:
        get_project(connection, name)
    if filters.conversation_id is not None:
        conversations.get(connection, filters.conversation_id)


def _hits(space: EmbeddingSpace, request: Request, nearest: Nearest) -> list[MessageHit]:
    scored = zip(scores(space, request, nearest), map(MessageRow._make, nearest.rows), strict=True)
    kept = [one for one in scored if request.min_score is None or one[0] >= request.min_score]
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
        for rank, (score, row) in enumerate(kept, start=1)
    ]

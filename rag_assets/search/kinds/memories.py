"""Search over memories: scores them as `recall` does, but does not record that they were recalled."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Connection, select

from rag_assets.db.models import EmbeddingSpace, Memory
from rag_assets.db.models.application.memories import OWNERS
from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.repositories.core.values import parse_id
from rag_assets.repositories.operations.recall import MemoryScore, RecallWeights, score_memories
from rag_assets.search.execution.executor import SearchContext
from rag_assets.search.request import Query, SearchRequest, check_options, make_request


class MemoryOptions(TypedDict, total=False):
    """Whose memories to search, and how to weigh them; all optional.

    - `user_id`, `project_id`, `specialization_id`: each finds the memories with this value and those without one;
      unset, only those without one. So without a `user_id`, no user's own memories are found.
    - `k`: hits wanted, 1 to 1000 (10). `min_score`: return no hit below it. `timeout_s`: as in `Options`.
    - `weights`: of relevance, importance and recency, see `recall`. `RecallWeights(importance=0, recency=0)` scores by
      relevance alone.
    """

    user_id: UUID | None
    project_id: UUID | None
    specialization_id: UUID | None
    k: int
    min_score: float | None
    weights: RecallWeights | Mapping[str, float]
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class MemoryHit:
    """One memory with its score and the parts of it, as in `recall`."""

    rank: int
    score: float
    memory_id: UUID
    user_id: UUID | None
    project_id: UUID | None
    specialization_id: UUID | None
    text: str
    relevance: float
    importance: float
    recency: float
    created_at: datetime
    last_recalled_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class MemoryAnswer:
    """The hits, best first; times as in `Answer`."""

    query: str
    space: int
    hits: list[MemoryHit]
    took_ms: float
    embedding_ms: float


_REQUEST_OPTIONS = ("k", "min_score", "timeout_s")


def search_memories(context: SearchContext, query: Query, options: MemoryOptions) -> MemoryAnswer:
    check_options("a search of memories", options, MemoryOptions.__annotations__)
    request_options: Any = {name: value for name, value in options.items() if name in _REQUEST_OPTIONS}
    request = make_request(query, request_options | {"mode": "vector"})
    given: dict[str, Any] = {name: options.get(name) for name in OWNERS}
    owner = {name: None if id_ is None else parse_id(name, id_) for name, id_ in given.items()}
    return context.live.run(_answer, context, request, owner, options.get("weights", RecallWeights()))


def _answer(
    space: EmbeddingSpace,
    context: SearchContext,
    request: SearchRequest,
    owner: Mapping[str, UUID | None],
    weights: RecallWeights | Mapping[str, float],
) -> MemoryAnswer:
    vector, embedding_ms = context.embedder.embed(space, request, context.live)
    started = time.perf_counter()
    hits = context.live.read(space, _search, request, vector, owner, weights, timeout_s=request.timeout_s)
    took_ms = (time.perf_counter() - started) * 1000
    return MemoryAnswer(request.text, space.id, hits, round(took_ms, 2), round(embedding_ms, 2))


def _search(
    connection: Connection,
    space: EmbeddingSpace,
    request: SearchRequest,
    vector: PackedVector,
    owner: Mapping[str, UUID | None],
    weights: RecallWeights | Mapping[str, float],
) -> list[MemoryHit]:
    weighed = score_memories(connection, space, vector, owner, k=request.k, weights=weights)
    if request.min_score is not None:
        weighed = [one for one in weighed if one.score >= request.min_score]
    return _hits(connection, weighed)


def _hits(connection: Connection, weighed: list[MemoryScore]) -> list[MemoryHit]:
    memories = select(Memory.__table__).where(Memory.id.in_([one.memory_id for one in weighed]))
    rows = {row.id: row for row in connection.execute(memories)}
    return [
        MemoryHit(
            rank=rank,
            score=round(one.score, 6),
            memory_id=one.memory_id,
            text=rows[one.memory_id].content,
            relevance=round(one.relevance, 6),
            importance=one.importance,
            recency=round(one.recency, 6),
            **{
                name: getattr(rows[one.memory_id], name)
                for name in (*OWNERS, "created_at", "last_recalled_at", "expires_at")
            },
        )
        for rank, one in enumerate(weighed, start=1)
    ]

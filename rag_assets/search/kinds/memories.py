"""Search in what is remembered, by the formula of recall, and without a trace."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import Connection, select

from rag_assets.db.models import EmbeddingSpace, Memory
from rag_assets.db.models.memories import OWNERS
from rag_assets.repositories.core.values import parse_id
from rag_assets.repositories.operations.recall import MemoryScore, RecallWeights, score_memories
from rag_assets.search.execution.live_space import Live
from rag_assets.search.execution.query_embedding import Asking
from rag_assets.search.execution.read_session import Reader
from rag_assets.search.request import Query, check_options, make_request


class MemoryOptions(TypedDict, total=False):
    """Whose memories, and how they are weighed; all optional.

    - `user_id`, `project_id`, `specialization_id`: found are the memories of these, and those that set no limit there;
      without a user nobody's own memories are found.
    - `k`: hits wanted, 1 to 1000 (10); `min_score`: no hit below it; `timeout_s`: as in `Options`.
    - `weights`: of meaning, importance and recency, see `recall`; `RecallWeights(importance=0, recency=0)` is by
      meaning alone.
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
    """One memory, its score, and the parts that `recall` makes it of."""

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


_SHARED = ("k", "min_score", "timeout_s")


def search_memories(reader: Reader, asking: Asking, live: Live, query: Query, options: MemoryOptions) -> MemoryAnswer:
    check_options("a search of memories", options, MemoryOptions.__annotations__)
    shared: Any = {name: value for name, value in options.items() if name in _SHARED}
    request = make_request(query, shared | {"mode": "vector"})
    given: dict[str, Any] = {name: options.get(name) for name in OWNERS}
    owner = {name: None if id_ is None else parse_id(name, id_) for name, id_ in given.items()}

    def answer(space: EmbeddingSpace) -> MemoryAnswer:
        vector, embedding_ms = asking.vector(live, space, request)

        def search(connection: Connection) -> list[MemoryHit]:
            live.confirm(connection, space)
            weights: RecallWeights | Mapping[str, float] = options.get("weights", RecallWeights())
            found = score_memories(connection, space, vector, owner, k=request.k, weights=weights)
            if request.min_score is not None:
                found = [one for one in found if one.score >= request.min_score]
            return _hits(connection, found)

        started = time.perf_counter()
        hits = reader.read(search, timeout_s=request.timeout_s, transaction=True)
        took_ms = (time.perf_counter() - started) * 1000
        return MemoryAnswer(request.text, space.id, hits, round(took_ms, 2), round(embedding_ms, 2))

    return live.run(answer)


def _hits(connection: Connection, found: list[MemoryScore]) -> list[MemoryHit]:
    wanted = select(Memory.__table__).where(Memory.id.in_([one.memory_id for one in found]))
    rows = {row.id: row for row in connection.execute(wanted)}
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
        for rank, one in enumerate(found, start=1)
    ]

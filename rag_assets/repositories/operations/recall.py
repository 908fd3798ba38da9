"""Recall memories by a score of vector similarity, importance and recency."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Connection, Float, and_, bindparam, extract, func, or_, select, update

from rag_assets.db.index.knn import distance_to_query, nearest_texts, query_cte, rescored_candidates, statement_values
from rag_assets.db.models import EmbeddingSpace, Memory
from rag_assets.db.models.application.memories import OWNERS
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.spaces.vector_codec import AnyVector
from rag_assets.errors import ServiceError, UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.values import parse_id
from rag_assets.repositories.operations.memories import in_force
from rag_assets.validation import check_integer, format_value, is_number

MAX_MEMORIES = 1_000
# Up to this many memories of an owner are all scored, without the index: that takes a few milliseconds.
MAX_EXACT_MEMORIES = 5_000
# With more memories, the nearest ones by the index are scored, this many for each memory wanted.
_CANDIDATES_PER_HIT = 10
# The largest number that pgvector accepts in each type of storage.
_MAX_NUMBER = {"vector": 3.4e38, "halfvec": 65504.0, "bit": 3.4e38}


@dataclass(frozen=True, slots=True)
class RecallWeights:
    """The weights of the three parts of a memory's score, and the factor by which recency decays in an hour.

    Raises UsageError for a weight that is negative or not finite, and a decay outside 0 to 1.
    """

    relevance: float = 1.0
    importance: float = 1.0
    recency: float = 1.0
    decay_per_hour: float = 0.995

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= 1e300):
                raise UsageError(f"{name} is {format_value(value)}; give a finite number that is not negative.")
        if not 0 < self.decay_per_hour <= 1:
            raise UsageError(f"decay_per_hour is {self.decay_per_hour}; give more than 0 and at most 1.")

    @classmethod
    def of(cls, given: "RecallWeights | Mapping[str, float]") -> "RecallWeights":
        """The weights, from an instance or a mapping of some of the fields; raises UsageError for anything else."""
        if isinstance(given, RecallWeights):
            return given
        known = [field.name for field in fields(cls)]
        if not isinstance(given, Mapping) or not set(given) <= set(known):
            raise UsageError(
                f"weights is {format_value(given)}; give a mapping of numbers for some of {', '.join(known)}."
            )
        return cls(**given)


@dataclass(frozen=True, slots=True)
class RecalledMemory:
    """A memory with its score and the parts of the score, as they were before this recall."""

    memory: Memory
    score: float
    relevance: float
    importance: float
    recency: float


def recall(
    connection: Connection,
    vector: Sequence[float],
    *,
    user_id: UUID | None = None,
    project_id: UUID | None = None,
    specialization_id: UUID | None = None,
    k: int = 10,
    weights: RecallWeights | Mapping[str, float] = RecallWeights(),
) -> list[RecalledMemory]:
    """The `k` memories with the highest scores, best first; counts the recall on each of them.

    A memory is a candidate when each of its three owner ids is either None or the one given: without `user_id`, no
    memory of a user is recalled. `vector` is an embedding by the live space's model.

    The score is `relevance * similarity + importance * importance + recency * decay_per_hour ** hours`: similarity is
    1 - cosine distance, and the hours count from the last recall, or from the creation. After Park et al., "Generative
    Agents" (2023, arXiv:2304.03442, section 4.1), who weight the three parts equally and decay by 0.995 an hour. They
    scale each part to 0..1 over the candidates; here the parts are in that range already, so that the score of a
    memory does not depend on the others.

    Raises UsageError for a vector of other dimensions or with a number that is not finite, ServiceError while no space
    of memories is live.
    """
    space = get_live_space(connection, "memories")
    if space is None:
        raise ServiceError("no space of memories is live yet; embed the memories first, then recall.")
    owner = {"user_id": user_id, "project_id": project_id, "specialization_id": specialization_id}
    found = score_memories(connection, space, format_vector(space, vector), owner, k=k, weights=weights)
    recalled = {memory.id: memory for memory in record_recall(connection, [one.memory_id for one in found])}
    return [
        RecalledMemory(recalled[one.memory_id], one.score, one.relevance, one.importance, one.recency)
        for one in found
        if one.memory_id in recalled
    ]


class MemoryScore(NamedTuple):
    """A memory's id, its score, and the parts of the score."""

    memory_id: UUID
    score: float
    relevance: float
    importance: float
    recency: float


def score_memories(
    connection: Connection,
    space: EmbeddingSpace,
    vector: AnyVector,
    owner: Mapping[str, UUID | None],
    *,
    k: int,
    weights: RecallWeights | Mapping[str, float],
) -> list[MemoryScore]:
    """Same as `recall`, for a vector of the space, without counting the recall: it only reads."""
    k = check_integer("k", k, 1, MAX_MEMORIES)
    weights = RecallWeights.of(weights)
    nearest = max(100, _CANDIDATES_PER_HIT * k)
    values = statement_values(vector, min(1000, nearest))
    eligible = and_(in_force(), *(_owner_condition(name, owner[name]) for name in OWNERS))
    count = connection.scalar(select(func.count()).select_from(Memory).where(eligible)) or 0
    exact = count <= MAX_EXACT_MEMORIES
    distances = _exact_distances(space, eligible) if exact else _index_distances(space, eligible, nearest)
    parts = _score_parts(space, distances, weights)
    score = parts["relevance"] * weights.relevance + parts["importance"] * weights.importance
    score = (score + parts["recency"] * weights.recency).label("score")
    statement = (
        select(Memory.id, score, *(part.label(name) for name, part in parts.items()))
        .join(distances, distances.c.id == Memory.id)
        .order_by(score.desc(), Memory.id)
        .limit(k)
    )
    return [MemoryScore._make(row) for row in connection.execute(statement, values)]


def format_vector(space: EmbeddingSpace, vector: Sequence[float]) -> str:
    """The vector in pgvector's text format; raises UsageError where it cannot be one of this space."""
    try:
        numbers = [float(number) for number in vector]
    except (TypeError, ValueError):
        raise UsageError("vector is not a sequence of numbers; give an embedding by the space's model.") from None
    if len(numbers) != space.dimensions:
        raise UsageError(f"vector has {len(numbers)} dimensions; the space {space.id} has {space.dimensions}.")
    largest = _MAX_NUMBER[space.storage]
    for index, number in enumerate(numbers):
        # False for NaN, too.
        if not -largest <= number <= largest:
            raise UsageError(f"vector[{index}] is {number}; give finite numbers that fit the type {space.storage}.")
    if space.distance == "cosine" and not any(numbers):
        raise UsageError("vector is all zeros, which has no direction to compare; embed a text that is not empty.")
    return str(numbers)


def _owner_condition(name: str, id_: UUID | None) -> ColumnElement[bool]:
    column: Any = getattr(Memory, name)
    if id_ is None:
        return column.is_(None)  # type: ignore[no-any-return]
    return or_(column.is_(None), column == parse_id(name, id_))


def _exact_distances(space: EmbeddingSpace, eligible: ColumnElement[bool]) -> CTE:
    table = partition(space.id)
    # Materialized, so that the planner computes these distances instead of walking the index past all other memories.
    return (
        select(Memory.id, distance_to_query(space, table, query_cte(space)).label("distance"))
        .join(table, and_(table.c.content_hash == Memory.content_hash, table.c.space_id == space.id))
        .where(eligible)
        .cte("distances")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _index_distances(space: EmbeddingSpace, eligible: ColumnElement[bool], texts: int) -> CTE:
    table = partition(space.id)
    owned = select(Memory.id).where(eligible, Memory.content_hash == table.c.content_hash).exists()
    candidates = rescored_candidates(space, texts, texts)
    nearest = nearest_texts(space, table, texts, candidates=candidates, conditions=[owned]).cte("nearest")
    return (
        select(Memory.id, nearest.c.distance)
        .join(nearest, nearest.c.content_hash == Memory.content_hash)
        .where(eligible)
        .cte("distances")
    )


def _score_parts(space: EmbeddingSpace, distances: CTE, weights: RecallWeights) -> dict[str, ColumnElement[Any]]:
    distance: Any = distances.c.distance
    similarity = {"cosine": 1 - distance, "l2": 1 / (1 + distance), "ip": -distance}[space.distance]
    last_used_at = func.coalesce(Memory.last_recalled_at, Memory.created_at)
    hours = func.greatest(extract("epoch", func.now() - last_used_at) / 3600, 0)
    # As a power of e with a floor: in PostgreSQL, a power that underflows a double is an error.
    decay = func.exp(func.greatest(hours * bindparam("log_decay", math.log(weights.decay_per_hour), Float), -700))
    return {"relevance": similarity, "importance": Memory.importance, "recency": decay}


def record_recall(connection: Connection, ids: Sequence[UUID]) -> list[Memory]:
    """Count a recall on each of these memories, as `recall` does; returns those that are not forgotten.

    Memories are locked in the order of their ids, so that two recalls cannot deadlock.
    """
    wanted = Memory.id.in_(ids)
    connection.execute(select(Memory.id).where(wanted).order_by(Memory.id).with_for_update(key_share=True))
    return entities.fetch_all(
        connection,
        update(Memory)
        .where(wanted, Memory.deleted_at.is_(None))
        # A recall is no edit, so `updated_at` stays.
        .values(last_recalled_at=func.now(), recall_count=Memory.recall_count + 1, updated_at=Memory.updated_at)
        .returning(Memory),
    )

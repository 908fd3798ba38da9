"""Choose ef_search by measuring recall and latency of the live index at each setting."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Text, cast, func, select

from rag_assets.db.connections.compiled import compile_statement
from rag_assets.db.index.knn import nearest_texts, rescored_candidates, statement_values
from rag_assets.db.index.state import used_index_names
from rag_assets.db.models import EmbeddingSpace, QueryVector
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.spaces import store_tuning
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.evaluation.index_recall import distance_recall, exact_distances, index_distances
from rag_assets.search.evaluation.metrics import percentiles
from rag_assets.search.evaluation.probe_vectors import sample_query_vectors
from rag_assets.search.evaluation.query_plans import force_index_scan, uses_index

K = 10
QUERIES = 100
EF_SEARCH_VALUES = (10, 20, 30, 40, 60, 80, 100, 120, 160, 200, 250, 300, 400, 500, 650, 800, 1000)
WARM_UP = 10
# From this recall on, a larger setting can hardly find more.
FULL_RECALL = 0.9995


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One setting: the mean recall@10 of each kind of query, and the latency of the index scan in milliseconds."""

    ef_search: int
    recall: dict[str, float]
    p50_ms: float
    p95_ms: float

    @property
    def worst_recall(self) -> float:
        return min(self.recall.values())


@dataclass(frozen=True, slots=True)
class RecallCurve:
    """The result of `sweep_ef_search`; `questions` is the number of queries of each kind."""

    space: int
    vectors: int
    questions: dict[str, int]
    points: list[SweepPoint]

    def smallest_point(self, target_recall: float) -> SweepPoint:
        """The smallest setting that reaches the target with each kind of query; raises UsageError where none does."""
        for point in self.points:
            if point.worst_recall >= target_recall:
                return point
        best = max(self.points, key=lambda point: point.worst_recall)
        raise UsageError(
            f"recall@{K} reaches {best.worst_recall:.3f} (at ef_search {best.ef_search}), not {target_recall:g}; aim "
            "lower, or build an index that keeps more: double RAG_ASSETS_HNSW_M and RAG_ASSETS_HNSW_EF_CONSTRUCTION, "
            "or set a wider RAG_ASSETS_INDEX_STORAGE, then run rag-assets ingest."
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sweep_ef_search(engine: Engine, space: EmbeddingSpace, *, number: int = QUERIES) -> RecallCurve:
    """Measure increasing settings, up to the first one with full recall.

    There are three kinds of queries, up to `number` of each: `held_out` lie between stored vectors, `stored` are stored
    vectors, and `asked` are queries that users have searched this space for. An exact scan gives the right results,
    once for all settings.

    Raises ServiceError where the space has no vectors or searches do not use its index.
    """
    table = partition(space.id)
    with engine.connect() as connection:
        vectors = connection.scalar(select(func.count()).select_from(table)) or 0
        queries = _sample_queries(connection, space, number)
        if not queries["stored"]:
            raise ServiceError(f"space {space.id} has no vectors to search; run rag-assets ingest first.")
        exact = {kind: exact_distances(connection, space, table, of_kind, K) for kind, of_kind in queries.items()}
    points: list[SweepPoint] = []
    while len(points) < len(EF_SEARCH_VALUES) and (not points or points[-1].worst_recall < FULL_RECALL):
        with engine.begin() as connection:
            points.append(_measure_point(connection, space, EF_SEARCH_VALUES[len(points)], queries, exact))
    return RecallCurve(space.id, vectors, {kind: len(of_kind) for kind, of_kind in queries.items()}, points)


def store_ef_search(engine: Engine, curve: RecallCurve, target_recall: float) -> SweepPoint:
    """Store the curve and the smallest setting that reaches the target in the space, and return its point.

    Raises UsageError where no setting reaches the target.
    """
    chosen = curve.smallest_point(check_target_recall(target_recall))
    tuning = {"target_recall": target_recall, "k": K, **curve.as_json()}
    with engine.begin() as connection:
        store_tuning(connection, curve.space, chosen.ef_search, tuning)
    return chosen


def check_target_recall(target_recall: float) -> float:
    """The target; raises UsageError outside 0 to 1."""
    if not 0 < target_recall <= 1:
        raise UsageError(f"the target recall is {target_recall:g}; choose more than 0 and at most 1, like 0.97.")
    return target_recall


def _sample_queries(connection: Connection, space: EmbeddingSpace, number: int) -> dict[str, Sequence[str]]:
    """Query vectors by kind, in pgvector's text format; `asked` only where queries are stored."""
    stored = partition(space.id).c
    asked = (
        select(cast(QueryVector.embedding, Text))
        .where(QueryVector.space_id == space.id)
        .order_by(QueryVector.query_hash)
        .limit(number)
    )
    found = {
        "held_out": sample_query_vectors(connection, space, number),
        "stored": connection.scalars(
            select(cast(stored.embedding, Text)).order_by(stored.content_hash).limit(number)
        ).all(),
        "asked": connection.scalars(asked).all(),
    }
    return {kind: queries for kind, queries in found.items() if queries or kind == "stored"}


def _measure_point(
    connection: Connection,
    space: EmbeddingSpace,
    ef_search: int,
    queries: dict[str, Sequence[str]],
    exact: dict[str, list[list[float]]],
) -> SweepPoint:
    # The planner scans a small table sequentially, and then every setting has full recall.
    force_index_scan(connection)
    ef = max(K, ef_search)
    statement = nearest_texts(space, partition(space.id), K, candidates=rescored_candidates(space, K, ef))
    first = statement_values(queries["stored"][0], ef)
    if not uses_index(connection, statement, first, used_index_names(connection, space)):
        raise ServiceError(f"the index of space {space.id} does not serve searches; run rag-assets ingest to build it.")
    compiled = compile_statement(statement)
    for query in queries["stored"][:WARM_UP]:
        index_distances(connection, compiled, query, ef)
    times: list[float] = []
    recall = {
        kind: _mean_recall([_timed_distances(times, connection, compiled, query, ef) for query in of_kind], exact[kind])
        for kind, of_kind in queries.items()
    }
    taken = percentiles(times)
    return SweepPoint(ef_search, recall, taken["p50"], taken["p95"])


def _timed_distances(times: list[float], *search: Any) -> list[float]:
    started = time.perf_counter()
    found = index_distances(*search)
    times.append((time.perf_counter() - started) * 1000)
    return found


def _mean_recall(found: Sequence[Sequence[float]], exact: Sequence[Sequence[float]]) -> float:
    shares = [distance_recall(near, right) for near, right in zip(found, exact, strict=True)]
    return round(sum(shares) / len(shares), 4)

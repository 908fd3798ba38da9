"""recall@10 of the index, compared with an exact scan of the same vectors."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from rag_assets.db.connections.compiled import compile_statement
from rag_assets.db.index.knn import nearest_texts, rescored_candidates, statement_values
from rag_assets.db.index.state import used_index_names
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH, DEFAULT_EF_SEARCH_BIT
from rag_assets.db.spaces.partitions import partition
from rag_assets.search.evaluation.index_recall import distance_recall, exact_distances, index_distances
from rag_assets.search.evaluation.probe_vectors import sample_query_vectors
from rag_assets.search.evaluation.query_plans import force_index_scan, uses_index

K = 10
QUERIES = 50


@dataclass(frozen=True, slots=True)
class RecallMeasurement:
    mean: float
    minimum: float
    questions: int
    ef_search: int
    planner_used_index: bool

    def metadata(self) -> dict[str, Any]:
        return {
            "recall_mean": round(self.mean, 4),
            "recall_min": round(self.minimum, 4),
            "questions": self.questions,
            "ef_search": self.ef_search,
            "planner_used_index": self.planner_used_index,
        }


def sufficient_ef_search(space: EmbeddingSpace) -> int:
    """The smallest ef_search that was measured to suffice: by `rag-assets tune`, else the default of every space."""
    tuning = space.tuning or {}
    reached = [
        point["ef_search"]
        for point in tuning.get("points", ())
        if min(point["recall"].values()) >= tuning["target_recall"]
    ]
    return min(reached, default=DEFAULT_EF_SEARCH_BIT if space.storage == "bit" else DEFAULT_EF_SEARCH)


def measure_recall(engine: Engine, space: EmbeddingSpace, ef_search: int) -> RecallMeasurement | None:
    """Mean and minimum over sampled queries; None when the space is empty."""
    table = partition(space.id)
    with engine.connect() as connection:
        queries = sample_query_vectors(connection, space, QUERIES)
    if not queries:
        return None
    ef_search = max(K, ef_search)
    statement = nearest_texts(space, table, K, candidates=rescored_candidates(space, K, ef_search))
    sent = compile_statement(statement)
    with engine.begin() as connection:
        force_index_scan(connection)
        first = statement_values(queries[0], ef_search)
        used_index = uses_index(connection, statement, first, used_index_names(connection, space))
        found = [index_distances(connection, sent, query, ef_search) for query in queries]
    with engine.connect() as connection:
        right = exact_distances(connection, space, table, queries, K)
    recalls = [distance_recall(near, best) for near, best in zip(found, right, strict=True)]
    return RecallMeasurement(sum(recalls) / len(recalls), min(recalls), len(recalls), ef_search, used_index)


def mean_recall(engine: Engine, space: EmbeddingSpace) -> float | None:
    """The mean recall at an ef_search that should suffice; None when the space is empty, or has no usable index."""
    measured = measure_recall(engine, space, max(space.ef_search, sufficient_ef_search(space)))
    return measured.mean if measured is not None and measured.planner_used_index else None

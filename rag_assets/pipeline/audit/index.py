"""Checks of a space's index: valid, used, fast, accurate enough."""

from sqlalchemy import Engine, func, select

from rag_assets.db.index.knn import statement_values
from rag_assets.db.index.state import inspect_index, used_index_names
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.writes.kept_counts import count_space_vectors
from rag_assets.pipeline.audit import index_recall, latency
from rag_assets.pipeline.audit.result import CheckResult
from rag_assets.pipeline.charts import check_charts
from rag_assets.search.evaluation.query_plans import (
    MIN_VECTORS_FOR_ITERATIVE_SCAN,
    index_search_statement,
    supports_iterative_scan,
    uses_index,
)
from rag_assets.settings.settings import Settings

# What a measurement found that is shown until it is taken again: no chart, which is large.
KEPT_FIGURES = (
    *("space", "threshold_ms", "threshold", "p50_ms", "p95_ms", "p99_ms", "vectors", "topped_up", "searches"),
    *("planner_used_index", "least_ef_search", "recall_mean", "recall_min", "questions", "ef_search"),
)


def index_valid(engine: Engine, space: EmbeddingSpace) -> CheckResult:
    """The index exists, is valid, and has the wanted operator class and parameters."""
    with engine.connect() as connection:
        found = inspect_index(connection, space)
    return CheckResult(
        found.state.serves,
        {"space": space.id, "state": found.state.value, "index": found.name, "bytes": found.bytes},
        f"the index {found.name} is {found.state.value}",
    )


def index_used(engine: Engine, space: EmbeddingSpace) -> CheckResult:
    """EXPLAIN of the statement that searches send shows the index; in a small table, that the index can be used.

    The index scan must also continue past its first candidates: otherwise filtered searches would lose hits.
    """
    statement = index_search_statement(space, 10, space.ef_search)
    stored = partition(space.id)
    vectors = count_space_vectors(engine, space)
    with engine.connect() as connection:
        names = used_index_names(connection, space)
        query = connection.scalar(select(stored.c.embedding).where(func.vector_norm(stored.c.embedding) > 0).limit(1))
        vector = str(query if query is not None else [1.0] * space.dimensions)
        values = statement_values(vector, space.ef_search)
        used = uses_index(connection, statement, values, names)
        usable = used or uses_index(connection, statement, values, names, forced=True)
        continues = (
            not usable or vectors < MIN_VECTORS_FOR_ITERATIVE_SCAN or supports_iterative_scan(connection, space, vector)
        )
    # In a smaller table, the planner may rightly find a scan of the table cheaper.
    small = vectors < latency.MEASURED_VECTORS
    serves = used or (small and usable)
    return CheckResult(
        serves and continues,
        {
            "space": space.id,
            "vectors": vectors,
            "planner_used_index": used,
            "index_usable": usable,
            "table_is_small": small,
            "scan_continues": continues,
        },
        "the index scan ends at its first candidates, so filtered searches lose hits"
        if serves
        else f"searches over {vectors} vectors are not served by {', '.join(names)}",
    )


def search_latency(engine: Engine, space: EmbeddingSpace, settings: Settings) -> CheckResult:
    """The p95 of searches over at least 10,000 vectors is under the limit; passes when the space is empty."""
    limit_ms = settings.latency_limit_ms
    measured = latency.measure_latency(engine, space, settings.ef_search or space.ef_search, limit_ms)
    if measured is None:
        return CheckResult(True, {"space": space.id, "vectors": 0})
    return CheckResult(
        measured.p95_ms < limit_ms,
        {
            "space": space.id,
            "threshold_ms": limit_ms,
            **measured.metadata(),
            "chart": check_charts.latencies(measured.times_ms, measured.p95_ms, limit_ms),
        },
        f"p95 of a search is {measured.p95_ms:.1f} ms at {measured.vectors} vectors, not under {limit_ms:g} ms",
    )


def recall_at_10(engine: Engine, space: EmbeddingSpace, settings: Settings) -> CheckResult:
    """What the index finds, compared with an exact scan, over sampled queries.

    Fails too when the space's ef_search is below the one that was measured to suffice: the sampled queries are made
    from its own vectors, and people's queries are harder.
    """
    limit = settings.recall_limit
    measured = index_recall.measure_recall(engine, space, settings.ef_search or space.ef_search)
    if measured is None:
        return CheckResult(True, {"space": space.id, "questions": 0})
    sufficient = index_recall.sufficient_ef_search(space)
    too_low = settings.ef_search is None and space.ef_search < sufficient
    reason = f"recall@10 is {measured.mean:.3f} on the mean, not {limit:g} or more"
    if not measured.planner_used_index:
        reason = "recall@10 cannot be measured: the index does not serve searches"
    elif too_low and measured.mean >= limit:
        reason = (
            f"searches use ef_search {space.ef_search}, and no measurement says that less than {sufficient} suffices"
        )
    return CheckResult(
        measured.mean >= limit and measured.planner_used_index and not too_low,
        {
            "space": space.id,
            "threshold": limit,
            "least_ef_search": sufficient,
            **measured.metadata(),
            **({"chart": check_charts.recall_against_latency(space.tuning, limit)} if space.tuning else {}),
        },
        reason,
    )

"""What is true of a space's index: valid, used, fast, exact enough."""

from sqlalchemy import Engine, func, select

from rag_assets.db.index.knn import statement_values
from rag_assets.db.index.state import inspect_index, used_index_name
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.pipeline.audit import index_recall, latency
from rag_assets.pipeline.audit.result import Finding
from rag_assets.pipeline.charts import check_charts
from rag_assets.search.evaluation.query_plans import (
    MIN_VECTORS_FOR_ITERATIVE_SCAN,
    index_search_statement,
    supports_iterative_scan,
    uses_index,
)
from rag_assets.settings.settings import Settings


def index_valid(engine: Engine, space: EmbeddingSpace) -> Finding:
    """The index is there, valid, and built with the wanted operator class and parameters."""
    with engine.connect() as connection:
        found = inspect_index(connection, space)
    return Finding(
        found.state.serves,
        {"space": space.id, "state": found.state.value, "index": found.name, "bytes": found.bytes},
        f"the index {found.name} is {found.state.value}",
    )


def index_used(engine: Engine, space: EmbeddingSpace) -> Finding:
    """EXPLAIN of the statement that searches send shows the index; in a small table, that it can show it.

    And the scan of the index goes on past its first candidates, without which filters would cost hits.
    """
    statement = index_search_statement(space, 10, space.ef_search)
    stored = partition(space.id)
    with engine.connect() as connection:
        name = used_index_name(connection, space)
        vectors = connection.scalar(select(func.count()).select_from(stored)) or 0
        query = connection.scalar(select(stored.c.embedding).where(func.vector_norm(stored.c.embedding) > 0).limit(1))
        vector = str(query if query is not None else [1.0] * space.dimensions)
        values = statement_values(vector, space.ef_search)
        chosen = uses_index(connection, statement, values, name)
        able = chosen or uses_index(connection, statement, values, name, forced=True)
        onward = (
            not able or vectors < MIN_VECTORS_FOR_ITERATIVE_SCAN or supports_iterative_scan(connection, space, vector)
        )
    # Below this a scan of the table can be the cheaper plan, and the planner is right to take it.
    small = vectors < latency.CERTIFIED_AT
    serves = chosen or (small and able)
    return Finding(
        serves and onward,
        {
            "space": space.id,
            "vectors": vectors,
            "chosen": chosen,
            "able": able,
            "table_is_small": small,
            "goes_on": onward,
        },
        "the scan of the index ends at its first candidates, so that filters cost hits"
        if serves
        else f"searches over {vectors} vectors are not served by {name}",
    )


def search_latency(engine: Engine, space: EmbeddingSpace, settings: Settings) -> Finding:
    """p95 of searches at 10,000 vectors or more is under the limit; nothing to measure where nothing is stored."""
    limit_ms = settings.latency_limit_ms
    measured = latency.measure(engine, space, settings.ef_search or space.ef_search)
    if measured is None:
        return Finding(True, {"space": space.id, "vectors": 0})
    return Finding(
        measured.p95_ms < limit_ms,
        {
            "space": space.id,
            "threshold_ms": limit_ms,
            **measured.metadata(),
            "chart": check_charts.latencies(measured.times_ms, measured.p95_ms, limit_ms),
        },
        f"p95 of a search is {measured.p95_ms:.1f} ms at {measured.vectors} vectors, not under {limit_ms:g} ms",
    )


def recall_at_10(engine: Engine, space: EmbeddingSpace, settings: Settings) -> Finding:
    """What the index finds against what an exact scan finds, over sampled questions.

    A space whose ef_search is below the one that was measured to suffice fails too: what questions made of its own
    vectors still find, people's questions may not.
    """
    limit = settings.recall_limit
    measured = index_recall.measure(engine, space, settings.ef_search or space.ef_search)
    if measured is None:
        return Finding(True, {"space": space.id, "questions": 0})
    least = index_recall.least_ef_search(space)
    lowered = settings.ef_search is None and space.ef_search < least
    reason = f"recall@10 is {measured.mean:.3f} on the mean, not {limit:g} or more"
    if not measured.by_index:
        reason = "recall@10 cannot be measured: the index does not serve searches"
    elif lowered and measured.mean >= limit:
        reason = f"searches look at {space.ef_search} candidates, and nobody measured that fewer than {least} suffice"
    return Finding(
        measured.mean >= limit and measured.by_index and not lowered,
        {
            "space": space.id,
            "threshold": limit,
            "least_ef_search": least,
            **measured.metadata(),
            **({"chart": check_charts.recall_against_latency(space.tuning, limit)} if space.tuning else {}),
        },
        reason,
    )

"""How long a search takes over at least 10,000 vectors, even if the space holds fewer.

Of a smaller space, a bound is measured first: a search in it, and the comparison of a query with as many vectors as it
lacks. An index over all of them compares fewer, at up to `INDEX_COST` times the cost. Only where the bound is not far
enough below the limit is a probe built, with the vectors that are lacking and an index of its own, which takes
seconds.
"""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    func,
    insert,
    select,
    text,
    true,
)

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.connections.pooler import get_connection_setup
from rag_assets.db.index.definition import create_index, index_definition, lists_for
from rag_assets.db.index.knn import (
    distance_to_query,
    literal_integer,
    nearest_texts,
    query_cte,
    rescored_candidates,
    statement_values,
)
from rag_assets.db.index.state import used_index_names
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import drop_table, execute_ddl
from rag_assets.db.session.priority import run_at_own_priority
from rag_assets.db.spaces.partitions import count_vectors, partition, probe_name
from rag_assets.db.writes.copy import copy_rows
from rag_assets.search.evaluation.probe_vectors import jitter_vectors, sample_query_vectors, sample_stored_vectors
from rag_assets.search.evaluation.query_plans import index_search_statement, uses_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURED_VECTORS = 10_000
K = 10
WARM_UP_SEARCHES = 10
# Were one search in twenty slower than the limit, all of so many would be faster in one measurement of twenty.
SEARCHES = 60
COMPARISONS = 5
INDEX_COST = 2
SAMPLED_VECTORS = 2_000


@dataclass(frozen=True, slots=True)
class LatencyMeasurement:
    """`times_ms` in ascending order."""

    times_ms: Sequence[float]
    vectors: int
    topped_up: int
    planner_used_index: bool

    @property
    def p95_ms(self) -> float:
        return self._percentile(0.95)

    def slowed_by(self, milliseconds: float) -> "LatencyMeasurement":
        return replace(self, times_ms=[time_ms + milliseconds for time_ms in self.times_ms])

    def repeated(self, times: int) -> "LatencyMeasurement":
        return replace(self, times_ms=[time_ms * times for time_ms in self.times_ms])

    def metadata(self) -> dict[str, Any]:
        return {
            "p50_ms": round(self._percentile(0.5), 2),
            "p95_ms": round(self.p95_ms, 2),
            "p99_ms": round(self._percentile(0.99), 2),
            "vectors": self.vectors,
            "topped_up": self.topped_up,
            "planner_used_index": self.planner_used_index,
            "searches": len(self.times_ms),
        }

    def _percentile(self, share: float) -> float:
        return self.times_ms[min(len(self.times_ms) - 1, int(len(self.times_ms) * share))]


def measure_latency(
    engine: Engine, space: EmbeddingSpace, ef_search: int, limit_ms: float
) -> LatencyMeasurement | None:
    """Time searches, up to the proof that they are faster than the limit; None when the space is empty."""
    with engine.connect() as connection:
        vectors = count_vectors(connection, space)
        queries = sample_query_vectors(connection, space, SEARCHES)
        indexes = used_index_names(connection, space)
    if not queries:
        return None
    lacking = max(0, MEASURED_VECTORS - vectors)
    timing = _Timing(engine, queries, max(K, ef_search), vectors, lacking)
    found = timing.measure(index_search_statement(space, K, timing.ef_search), indexes)
    if lacking:
        found = found.slowed_by(_slowest_comparison_ms(engine, space, queries, timing.ef_search, vectors, lacking))
    if not lacking or found.p95_ms * INDEX_COST < limit_ms:
        with engine.begin() as connection:
            drop_table(connection, probe_name(space.id))
        return found
    probe = _ensure_probe(engine, space, vectors)
    candidates = rescored_candidates(space, K, timing.ef_search)
    found = timing.measure(nearest_texts(space, probe, K, candidates=candidates), [_probe_index(space)])
    # A search reads the indexes of all parts. That of the probe has more vectors than each of them.
    return found.repeated(space.parts)


@dataclass(frozen=True, slots=True)
class _Timing:
    engine: Engine
    queries: Sequence[str]
    ef_search: int
    vectors: int
    lacking: int

    def measure(self, statement: Select[Any], indexes: Collection[str]) -> LatencyMeasurement:
        with self.engine.connect() as connection:
            used_index = uses_index(connection, statement, statement_values(self.queries[0], self.ef_search), indexes)
        sent = compile_statement(statement)
        times = run_at_own_priority(_time_searches, self.engine, sent, self.queries, self.ef_search)
        return LatencyMeasurement(times, self.vectors + self.lacking, self.lacking, used_index)


def _slowest_comparison_ms(
    engine: Engine, space: EmbeddingSpace, queries: Sequence[str], ef_search: int, vectors: int, lacking: int
) -> float:
    """The slowest of a few comparisons of a query with as many vectors as the space lacks."""
    sent = compile_statement(_compare_repeatedly(space, -(-lacking // vectors), lacking))
    times = run_at_own_priority(_time_searches, engine, sent, queries, ef_search, warm_up=1, number=COMPARISONS)
    return times[-1]


def _compare_repeatedly(space: EmbeddingSpace, repeats: int, comparisons: int) -> Select[Any]:
    """The distances to the nearest of so many vectors: those that are stored, as often as it takes."""
    table = partition(space.id)
    numbers = func.generate_series(1, literal_integer(repeats), type_=Integer)
    repeat = numbers.table_valued("number", name="repeat").render_derived()
    # The number of the repeat is part of it, so that the server computes it each time.
    distance = (distance_to_query(space, table, query_cte(space)) + repeat.c.number * 0.0).label("distance")
    compared = select(distance).select_from(table.join(repeat, true())).limit(literal_integer(comparisons)).subquery()
    return select(compared.c.distance).order_by(compared.c.distance).limit(literal_integer(K))


def _probe_index(space: EmbeddingSpace) -> str:
    return f"ix_{probe_name(space.id)}_{space.method}"


def _probe_definition(space: EmbeddingSpace) -> str:
    return index_definition(space, lists=lists_for(MEASURED_VECTORS))


def _time_searches(
    engine: Engine,
    statement: CompiledStatement,
    queries: Sequence[str],
    ef_search: int,
    *,
    warm_up: int = WARM_UP_SEARCHES,
    number: int = SEARCHES,
) -> list[float]:
    """The times of warm searches, sorted."""
    repeated = islice(cycle(queries), warm_up + number)
    # A session of its own: those of the pool may give way to searches.
    setup = get_connection_setup(engine)
    own = engine if setup is None else make_engine(engine.url, options=setup.options)
    try:
        with own.begin() as connection:
            return sorted([_time_search(connection, statement, one, ef_search) for one in repeated][warm_up:])
    finally:
        if own is not engine:
            own.dispose()


def _time_search(connection: Connection, statement: CompiledStatement, query: str, ef_search: int) -> float:
    started = time.perf_counter()
    run_compiled(connection, statement, statement_values(query, ef_search))
    return (time.perf_counter() - started) * 1000


def _ensure_probe(engine: Engine, space: EmbeddingSpace, vectors: int) -> Table:
    """The probe table of this space: its vectors and enough neighbours of them, under the same kind of index.

    It is kept from one check to the next (unlogged, some 30 MB), since building it takes longer than all checks
    together. It is rebuilt when the space has grown or shrunk by a fifth, or wants another index.
    """
    name = probe_name(space.id)
    columns = [Column("content_hash", LargeBinary), Column("embedding", partition(space.id).c.embedding.type)]
    probe = Table(name, MetaData(schema=SCHEMA), *columns)
    with engine.connect() as connection:
        if _is_current(connection, space, vectors):
            return probe
        originals = sample_stored_vectors(connection, partition(space.id), SAMPLED_VECTORS)
    filling = jitter_vectors(originals, MEASURED_VECTORS - vectors, seed=3)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.latency_probe'))"))
        # Another run may have built it meanwhile.
        if not _is_current(connection, space, vectors):
            _build_probe(connection, space, probe, vectors, filling)
    return probe


def _is_current(connection: Connection, space: EmbeddingSpace, vectors: int) -> bool:
    comment = connection.scalar(
        text("SELECT obj_description(to_regclass(:name), 'pg_class')"),
        {"name": f"{SCHEMA}.{probe_name(space.id)}"},
    )
    note = json.loads(comment) if comment else {}
    if note.get("index") != _probe_definition(space) or abs(note["vectors"] - vectors) * 5 > vectors:
        return False
    # An unlogged table is empty after a crash of the server.
    probe = Table(probe_name(space.id), MetaData(schema=SCHEMA))
    return bool(connection.scalar(select(func.count()).select_from(probe)) == note["rows"])


def _build_probe(
    connection: Connection, space: EmbeddingSpace, probe: Table, vectors: int, filling: "NDArray[np.float32]"
) -> None:
    name = sql.Identifier(SCHEMA, probe.name)
    drop_table(connection, probe.name)
    execute_ddl(
        connection,
        sql.SQL("CREATE UNLOGGED TABLE {} (content_hash bytea, embedding vector NOT NULL)").format(name),
    )
    stored = partition(space.id)
    real = select(stored.c.content_hash, stored.c.embedding)
    connection.execute(insert(probe).from_select(["content_hash", "embedding"], real))
    incoming = copy_rows(connection, "incoming_probe", [probe.c.embedding], ([vector] for vector in filling))
    connection.execute(insert(probe).from_select(["embedding"], select(incoming)))
    connection.execute(text("SELECT set_config('maintenance_work_mem', '128MB', true)"))
    try:
        with connection.begin_nested():
            execute_ddl(connection, create_index(space, probe.name, _probe_index(space), rows=MEASURED_VECTORS))
    except (errors.DiskFull, errors.OutOfMemory):
        # A parallel build needs as much shared memory, and containers have little of it.
        connection.execute(text("SELECT set_config('max_parallel_maintenance_workers', '0', true)"))
        execute_ddl(connection, create_index(space, probe.name, _probe_index(space), rows=MEASURED_VECTORS))
    execute_ddl(connection, sql.SQL("ANALYZE {}").format(name))
    note = {"index": _probe_definition(space), "vectors": vectors, "rows": vectors + len(filling)}
    execute_ddl(connection, sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(json.dumps(note))))

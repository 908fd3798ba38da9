"""How long a search takes over at least 10,000 vectors, even if the space holds fewer."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql
from sqlalchemy import Column, Connection, Engine, LargeBinary, MetaData, Table, func, insert, select, text

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.index.definition import create_index, index_definition, lists_for
from rag_assets.db.index.knn import nearest_texts, rescored_candidates, statement_values
from rag_assets.db.index.state import used_index_name
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import drop_table, execute_ddl
from rag_assets.db.spaces.partitions import partition, probe_name
from rag_assets.db.writes.copy import copy_rows
from rag_assets.search.evaluation.probe_vectors import jitter_vectors, sample_query_vectors, sample_stored_vectors
from rag_assets.search.evaluation.query_plans import index_search_statement, uses_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURED_VECTORS = 10_000
K = 10
WARM_UP_SEARCHES = 10
SEARCHES = 100
SAMPLED_VECTORS = 2_000


@dataclass(frozen=True, slots=True)
class LatencyMeasurement:
    p50_ms: float
    p95_ms: float
    p99_ms: float
    vectors: int
    topped_up: int
    planner_used_index: bool
    times_ms: Sequence[float]

    def metadata(self) -> dict[str, Any]:
        return {
            "p50_ms": round(self.p50_ms, 2),
            "p95_ms": round(self.p95_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "vectors": self.vectors,
            "topped_up": self.topped_up,
            "planner_used_index": self.planner_used_index,
            "searches": SEARCHES,
        }


def measure_latency(engine: Engine, space: EmbeddingSpace, ef_search: int) -> LatencyMeasurement | None:
    """Time searches on the space itself, or on a probe topped up to 10,000 vectors; None when the space is empty."""
    table = partition(space.id)
    with engine.connect() as connection:
        vectors = connection.scalar(select(func.count()).select_from(table)) or 0
        queries = sample_query_vectors(connection, space, SEARCHES)
        index = used_index_name(connection, space)
    if not queries:
        return None
    ef_search = max(K, ef_search)
    if vectors >= MEASURED_VECTORS:
        with engine.begin() as connection:
            drop_table(connection, probe_name(space.id))
        statement, topped_up = index_search_statement(space, K, ef_search), 0
    else:
        topped_up = MEASURED_VECTORS - vectors
        probe = _ensure_probe(engine, space, vectors)
        candidates = rescored_candidates(space, K, ef_search)
        statement, index = nearest_texts(space, probe, K, candidates=candidates), _probe_index(space)
    with engine.begin() as connection:
        used_index = uses_index(connection, statement, statement_values(queries[0], ef_search), index)
        sent = compile_statement(statement)
        repeated = islice(cycle(queries), WARM_UP_SEARCHES + SEARCHES)
        times = sorted([_time_search(connection, sent, query, ef_search) for query in repeated][WARM_UP_SEARCHES:])
    p50, p95, p99 = (times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.95, 0.99))
    return LatencyMeasurement(p50, p95, p99, vectors + topped_up, topped_up, used_index, times)


def _probe_index(space: EmbeddingSpace) -> str:
    return f"ix_{probe_name(space.id)}_{space.method}"


def _probe_definition(space: EmbeddingSpace) -> str:
    return index_definition(space, lists=lists_for(MEASURED_VECTORS))


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

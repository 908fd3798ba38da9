"""How long a search takes at 10,000 vectors or more, whatever the space holds."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from psycopg import sql
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

CERTIFIED_AT = 10_000
K = 10
WARM_UP = 10
SEARCHES = 100
ORIGINS = 2_000


@dataclass(frozen=True, slots=True)
class Latency:
    p50_ms: float
    p95_ms: float
    p99_ms: float
    vectors: int
    topped_up: int
    by_index: bool
    times_ms: Sequence[float]

    def metadata(self) -> dict[str, Any]:
        return {
            "p50_ms": round(self.p50_ms, 2),
            "p95_ms": round(self.p95_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "vectors": self.vectors,
            "topped_up": self.topped_up,
            "planner_used_index": self.by_index,
            "searches": SEARCHES,
        }


def measure(engine: Engine, space: EmbeddingSpace, ef_search: int) -> Latency | None:
    """Time searches on the space itself, or on a probe topped up to 10,000 vectors; None where it is empty."""
    table = partition(space.id)
    with engine.connect() as connection:
        vectors = connection.scalar(select(func.count()).select_from(table)) or 0
        questions = sample_query_vectors(connection, space, SEARCHES)
        index = used_index_name(connection, space)
    if not questions:
        return None
    ef_search = max(K, ef_search)
    if vectors >= CERTIFIED_AT:
        with engine.begin() as connection:
            drop_table(connection, probe_name(space.id))
        statement, topped_up = index_search_statement(space, K, ef_search), 0
    else:
        topped_up = CERTIFIED_AT - vectors
        probe = _ensure_probe(engine, space, vectors)
        candidates = rescored_candidates(space, K, ef_search)
        statement, index = nearest_texts(space, probe, K, candidates=candidates), _probe_index(space)
    with engine.begin() as connection:
        by_index = uses_index(connection, statement, statement_values(questions[0], ef_search), index)
        sent = compile_statement(statement)
        asked = islice(cycle(questions), WARM_UP + SEARCHES)
        times = sorted([_time(connection, sent, question, ef_search) for question in asked][WARM_UP:])
    p50, p95, p99 = (times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.95, 0.99))
    return Latency(p50, p95, p99, vectors + topped_up, topped_up, by_index, times)


def _probe_index(space: EmbeddingSpace) -> str:
    return f"ix_{probe_name(space.id)}_{space.method}"


def _probe_definition(space: EmbeddingSpace) -> str:
    return index_definition(space, lists=lists_for(CERTIFIED_AT))


def _time(connection: Connection, statement: CompiledStatement, question: str, ef_search: int) -> float:
    started = time.perf_counter()
    run_compiled(connection, statement, statement_values(question, ef_search))
    return (time.perf_counter() - started) * 1000


def _ensure_probe(engine: Engine, space: EmbeddingSpace, vectors: int) -> Table:
    """The probe of this space: its vectors and enough neighbours of them, under the same index.

    It is kept from one check to the next (unlogged, some 30 MB), since building it takes longer than all checks
    together; it is made anew when the space has grown or shrunk by a fifth, or wants another index.
    """
    name = probe_name(space.id)
    columns = [Column("content_hash", LargeBinary), Column("embedding", partition(space.id).c.embedding.type)]
    probe = Table(name, MetaData(schema=SCHEMA), *columns)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.latency_probe'))"))
        if not _fits(connection, space, vectors):
            origins = sample_stored_vectors(connection, partition(space.id), ORIGINS)
            filling = jitter_vectors(origins, CERTIFIED_AT - vectors, seed=3)
            _build_probe(connection, space, probe, vectors, filling)
    return probe


def _fits(connection: Connection, space: EmbeddingSpace, vectors: int) -> bool:
    noted = connection.scalar(
        text("SELECT obj_description(to_regclass(:name), 'pg_class')"),
        {"name": f"{SCHEMA}.{probe_name(space.id)}"},
    )
    note = json.loads(noted) if noted else {}
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
    # Serial: a parallel build would want as much shared memory, which containers are short of.
    connection.execute(
        text(
            "SELECT set_config('maintenance_work_mem', '128MB', true), "
            "set_config('max_parallel_maintenance_workers', '0', true)"
        )
    )
    execute_ddl(connection, create_index(space, probe.name, _probe_index(space), rows=CERTIFIED_AT))
    execute_ddl(connection, sql.SQL("ANALYZE {}").format(name))
    note = {"index": _probe_definition(space), "vectors": vectors, "rows": vectors + len(filling)}
    execute_ddl(connection, sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(json.dumps(note))))

"""Searches in one flat table with all columns of a citation: what a script without any of our joins would have."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pgvector import Vector
from psycopg import Connection, sql
from sqlalchemy import Engine

from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import vector_type
from rag_assets.db.spaces.partitions import partition_name
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from tests.benchmarks.bare import connect_bare, graph_settings, nearest_statement
from tests.benchmarks.timing import measure_latencies

K = 10
SHARE = "1"
_FLAT = sql.Identifier("bare", "chunks")
_CITED = sql.SQL(
    "project, file_path, title, id, chunk_index, heading_path, char_start, char_end, chunk_text, document_id, "
    "file_type, source_version, header, page"
)
_COPY = sql.SQL(
    "CREATE TABLE {flat} AS SELECT p.name AS project, d.file_path, d.title, c.id, c.chunk_index, c.heading_path, "
    "c.char_start, c.char_end, c.chunk_text, d.id AS document_id, d.file_type, d.source_version, c.header, c.page, "
    "d.metadata ->> 'tier' AS tier, (d.metadata ->> 'number')::int AS number, e.embedding::{type} AS embedding "
    "FROM {schema}.document_chunks c JOIN {schema}.documents d ON d.id = c.document_id "
    "JOIN {schema}.projects p ON p.id = d.project_id JOIN {partition} e ON e.content_hash = c.content_hash "
    "WHERE c.chunking = {chunking}"
)
_INDEXES = (
    "CREATE INDEX ON {flat} (tier)",
    "CREATE INDEX ON {flat} (number)",
    "CREATE INDEX ON {flat} USING hnsw (embedding vector_cosine_ops) WITH (m = {m}, ef_construction = {ef})",
    "VACUUM (ANALYZE) {flat}",
)


def measure_flat(
    engine: Engine, retriever: Retriever, space: EmbeddingSpace, vectors: Sequence[Any], rounds: int
) -> dict[str, Any]:
    """Compare our searches with those of the flat table: by meaning, and with filters that 1% of the rows pass."""
    with flat_table(engine, space) as connection:
        row = connection.execute(sql.SQL("SELECT count(*), max(number) FROM {}").format(_FLAT)).fetchone()
        assert row is not None
        below = (row[1] + 1) // 100
        conditions: dict[str, tuple[str, Any, Mapping[str, Any]]] = {
            "filtered": ("tier = %(value)s", SHARE, {"tier": SHARE}),
            "range_filtered": ("number < %(value)s", below, {"number": {"$lt": below}}),
        }
        found = {"rows": row[0], "vector": _compare(connection, retriever, vectors, rounds)}
        found["vector"]["parts_p50_ms"] = _measure_parts(engine, retriever, space, vectors, rounds)
        for name, (condition, value, metadata) in conditions.items():
            found[name] = _compare(connection, retriever, vectors[:40], rounds, condition, value, metadata)
        return found


@contextmanager
def flat_table(engine: Engine, space: EmbeddingSpace) -> Iterator["Connection[Any]"]:
    """A connection to search the table with, by the settings of a session; the table is dropped at the end."""
    parts = {
        "flat": _FLAT,
        "schema": sql.Identifier(SCHEMA),
        "partition": sql.Identifier(SCHEMA, partition_name(space.id)),
        "type": vector_type(space),
        "chunking": sql.Literal(space.chunking),
        "m": sql.Literal(space.m),
        "ef": sql.Literal(space.ef_construction),
    }
    with connect_bare(engine.url, graph_settings(space) | {"jit": "off", "maintenance_work_mem": "2GB"}) as connection:
        connection.execute("CREATE SCHEMA bare")
        try:
            for statement in (_COPY, *map(sql.SQL, _INDEXES)):
                connection.execute(statement.format(**parts))
            yield connection
        finally:
            connection.execute("DROP SCHEMA bare CASCADE")


def _measure_parts(
    engine: Engine, retriever: Retriever, space: EmbeddingSpace, vectors: Sequence[Any], rounds: int
) -> dict[str, float]:
    """Where the time of a search by meaning goes: medians, each with what the one before it does."""
    graph = sql.SQL(
        "SELECT content_hash, embedding::{type} <=> %(query)s FROM {partition} "
        "ORDER BY embedding::{type} <=> %(query)s LIMIT 10"
    ).format(type=vector_type(space), partition=sql.Identifier(SCHEMA, partition_name(space.id)))
    joined, values = nearest_statement(space), [{"query": Vector(vector)} for vector in vectors]
    settings = graph_settings(space) | {"jit": "off"}
    with connect_bare(engine.url, settings) as first, connect_bare(engine.url, settings) as second:
        variants: dict[str, Callable[[int], Any]] = {
            "graph": lambda number: first.execute(graph, values[number], prepare=True).fetchall(),
            "and_joins": lambda number: second.execute(joined, values[number], prepare=True).fetchall(),
            "and_python": lambda number: retriever.search(vectors[number], k=K, distinct=False),
            "and_distinct": lambda number: retriever.search(vectors[number], k=K),
        }
        times = measure_latencies(variants, len(values), rounds)
    return {name: taken["p50_ms"] for name, taken in times.items()}


def _compare(
    connection: "Connection[Any]",
    retriever: Retriever,
    vectors: Sequence[Any],
    rounds: int,
    condition: str | None = None,
    value: Any = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Without a condition by the graph, with one by an exact scan of the rows that it leaves."""
    statement = sql.SQL(
        "SELECT embedding <=> %(query)s, {cited} FROM {flat} {where} "
        "ORDER BY (embedding <=> %(query)s) {exactly} LIMIT 10"
    ).format(
        cited=_CITED,
        flat=_FLAT,
        where=sql.SQL(f"WHERE {condition}" if condition else ""),
        exactly=sql.SQL("+ 0" if condition else ""),
    )
    # Where the table is small, the planner would rather sort all of it.
    connection.execute("SELECT set_config('enable_seqscan', 'off', false)")
    values = [{"query": Vector(vector)} | ({"value": value} if condition else {}) for vector in vectors]
    answers: dict[int, Answer] = {}

    def ours(number: int) -> None:
        answers[number] = retriever.search(vectors[number], k=K, metadata=metadata)

    variants: dict[str, Callable[[int], Any]] = {
        "ours": ours,
        "flat": lambda number: connection.execute(statement, values[number], prepare=True).fetchall(),
    }
    times = measure_latencies(variants, len(values), rounds)
    return {
        **times["ours"],
        **{f"flat_{name}": taken for name, taken in times["flat"].items()},
        "ratio_to_flat": round(times["ours"]["p95_ms"] / times["flat"]["p95_ms"], 3),
        "ratio_to_flat_p50": round(times["ours"]["p50_ms"] / times["flat"]["p50_ms"], 3),
        "hits": min(len(answer.hits) for answer in answers.values()),
        "plans": sorted({answer.plan for answer in answers.values()}),
    }

"""python -m tests.benchmarks.search --vectors 10000,100000[,1000000]: latency, throughput and recall of searches.

Prints one JSON object keyed by the number of vectors:

- `p50_ms` to `p99_ms`: whole calls of `Retriever.search` for a vector, k = 10, one at a time. `bare_...`: a script
  with psycopg alone that returns the same rows by one prepared statement, its session set up once. Both run each query
  in turn. `recall_at_10` is against an exact scan.
- `qps`, `bare_qps`: searches per second of 1, 8 and 32 clients, tasks of one asyncio process. Ours share the default
  connection pool of an application; bare clients have a connection each.
- `filters`: by the percentage of documents that pass, chosen at random or (`correlated`) as whole clusters; compared
  with an exact scan of the passing rows (`exact`) and an iterative scan of the graph (`iterative`).
- `projects`: each query searches another project.
- `flat`: a script that searches one flat table with all columns, by its HNSW index (`vector`), or by an exact scan of
  the rows that an indexed column leaves, 1% of them (`filtered`), in turn with ours. `range_filtered`: the same rows by
  a condition on a number (`$lt`), which no index on jsonb serves.

Figures are medians of --rounds (filters: of ours and the better of the two others).

Each number of vectors gets a database of its own, filled by tests.benchmarks.synthetic and dropped at the end, on the
server of RAG_ASSETS_DATABASE_URL or an embedded one in a temporary folder. --ingested measures the configured database
as it is: with the queries and filters of tests.benchmarks.synthetic if that filled it, else with queries between its
texts.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pgvector import Vector
from psycopg import AsyncConnection
from sqlalchemy import URL, Engine, func, make_url, select, text

from rag_assets.db.connections.engines import DRIVER, make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.database import dispose_engines, shared_engine
from rag_assets.db.models import DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.evaluation.probe_vectors import sample_query_vectors
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings, load_settings
from tests.benchmarks import synthetic
from tests.benchmarks.bare import connect_bare, conninfo, exact_distances, graph_settings, nearest_statement
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.filtering import distances, measure_filter, measure_projects, recall
from tests.benchmarks.flat import measure_flat
from tests.benchmarks.timing import measure_latencies, measure_throughput, percentile

K = 10
QUESTIONS = 200
CLIENTS = (1, 8, 32)
PARTS = ("plain", "clients", "modes", "filters", "projects", "flat")
FILTERED_QUERIES = 40


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries: texts, vectors, and whether documents have the tiers and areas to filter by."""

    texts: Sequence[str]
    vectors: Sequence[Any]
    filters: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", default="10000,100000", help="numbers, separated by commas")
    parser.add_argument("--ingested", action="store_true", help="measure the configured database without filling it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}, separated by commas")
    arguments = parser.parse_args()
    found = {}
    if arguments.ingested:
        engine = make_engine(shared_engine(load_settings()).url, options=_options())
        size, queries = read_ingested(engine)
        found[str(size)] = measure(engine, queries, arguments.rounds, arguments.parts.split(","))
        engine.dispose()
        dispose_engines()
    else:
        with database_server() as admin:
            for size in map(int, arguments.vectors.split(",")):
                with filled_database(admin, size) as (engine, seconds):
                    questions = Corpus(size).questions(QUESTIONS)
                    queries = Queries(questions.texts, list(questions.vectors), filters=True)
                    found[str(size)] = measure(engine, queries, arguments.rounds, arguments.parts.split(",")) | {
                        "filling_s": seconds
                    }
    print(json.dumps(found))


@contextmanager
def database_server() -> Iterator[URL]:
    """Yield the address of the configured server, or of a new embedded one."""
    configured = os.environ.get("RAG_ASSETS_DATABASE_URL")
    if configured:
        yield make_url(configured).set(drivername=DRIVER)
        return
    with tempfile.TemporaryDirectory(prefix="rag-bench-", ignore_cleanup_errors=True) as folder:
        embedded = EmbeddedServer.at(Path(folder))
        try:
            yield make_url(embedded.ensure_running()).set(drivername=DRIVER)
        finally:
            embedded.stop()


@contextmanager
def filled_database(admin: URL, size: int) -> Iterator[tuple[Engine, dict[str, float]]]:
    from rag_assets.db.schema.migrations import upgrade

    name = f"bench_{uuid4().hex[:12]}"
    outside = make_engine(admin).execution_options(isolation_level="AUTOCOMMIT")
    with outside.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    writer = make_engine(admin.set(database=name))
    engine = make_engine(writer.url, options=_options())
    try:
        upgrade(writer)
        seconds = synthetic.fill(writer, size)
        writer.dispose()
        yield engine, seconds
    finally:
        engine.dispose()
        with outside.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        outside.dispose()


def _options() -> EngineOptions:
    """The default options of an application's reader: clients share its few connections."""
    return EngineOptions.from_settings(Settings(), "read")


def read_ingested(engine: Engine) -> tuple[int, Queries]:
    """The number of vectors in the live space, and queries for them."""
    with engine.connect() as connection:
        space = get_live_space(connection)
        if space is None:
            raise SystemExit("no space is live; run rag-assets ingest first.")
        size = connection.scalar(select(func.count()).select_from(partition(space.id))) or 0
        if connection.scalar(select(Project.id).where(Project.name == "bench-00000")):
            questions = Corpus(size).questions(QUESTIONS)
            return size, Queries(questions.texts, list(questions.vectors), filters=True)
        vectors = [json.loads(one) for one in sample_query_vectors(connection, space, QUESTIONS)]
        words = func.substring(DocumentChunk.chunk_text, r"\w+\W+\w+\W+\w+\W+\w+\W+\w+")
        texts = connection.scalars(
            select(words)
            .where(DocumentChunk.chunking == space.chunking, words.is_not(None))
            .order_by(DocumentChunk.content_hash)
            .limit(len(vectors))
        ).all()
        return size, Queries([texts[at % len(texts)] for at in range(len(vectors))], vectors, filters=False)


def measure(
    engine: Engine, queries: Queries, rounds: int, parts: Sequence[str] = PARTS, *, seconds: float = 3.0
) -> dict[str, Any]:
    retriever = Retriever(engine)
    with engine.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    found: dict[str, Any] = {}
    if "plain" in parts:
        found |= measure_plain(engine, retriever, space, queries, rounds)
    if "clients" in parts:
        found |= asyncio.run(measure_clients(engine.url, space, queries, seconds))
    if "modes" in parts:
        found["words"] = measure_mode(retriever, queries, "text", rounds)
        found["hybrid"] = measure_mode(retriever, queries, "hybrid", rounds)
    if "filters" in parts and queries.filters:
        found["filters"] = {
            share: measure_filter(engine, retriever, space, queries.vectors[:FILTERED_QUERIES], {"tier": share}, rounds)
            | {
                "correlated": measure_filter(
                    engine, retriever, space, queries.vectors[:FILTERED_QUERIES], {"area": share}, rounds
                )
            }
            for share in synthetic.SHARES
        }
    if "projects" in parts:
        found["projects"] = measure_projects(engine, retriever, queries.vectors, rounds)
    if "flat" in parts and queries.filters:
        found["flat"] = measure_flat(engine, retriever, space, queries.vectors, rounds)
    return found | {"ef_search": space.ef_search, "m": space.m, "ef_construction": space.ef_construction}


def measure_plain(
    engine: Engine, retriever: Retriever, space: EmbeddingSpace, queries: Queries, rounds: int
) -> dict[str, Any]:
    statement, values = nearest_statement(space), [{"query": Vector(vector)} for vector in queries.vectors]
    with connect_bare(engine.url, graph_settings(space)) as bare:
        variants = {
            "ours": lambda number: retriever.search(queries.vectors[number], k=K),
            "bare": lambda number: bare.execute(statement, values[number], prepare=True).fetchall(),
        }
        times = measure_latencies(variants, len(values), rounds)
        # These run before the exact scans, which push the graph out of the caches.
        answers = [retriever.search(vector, k=K) for vector in queries.vectors]
        best = [exact_distances(bare, space, vector, K) for vector in queries.vectors]
    ours, limit = times["ours"], times["bare"]
    return {
        **ours,
        "recall_at_10": recall([distances(answer) for answer in answers], best),
        "database_p95_ms": percentile([answer.took_ms for answer in answers], 95),
        **{f"bare_{name}": value for name, value in limit.items()},
        "ratio_to_bare": round(ours["p95_ms"] / limit["p95_ms"], 3),
        "added_p50_ms": round(ours["p50_ms"] - limit["p50_ms"], 3),
        "added_p95_ms": round(ours["p95_ms"] - limit["p95_ms"], 3),
    }


async def measure_clients(url: URL, space: EmbeddingSpace, queries: Queries, seconds: float) -> dict[str, Any]:
    """Searches per second of the package and of bare clients, by the number of clients."""
    engine = make_async_engine(url, options=_options())
    statement, values = nearest_statement(space), [{"query": Vector(vector)} for vector in queries.vectors]
    retriever = AsyncRetriever(engine)
    connections = [await _bare_client(url, graph_settings(space)) for _ in range(max(CLIENTS))]

    def bare(connection: Any) -> Any:
        async def ask(number: int) -> Any:
            cursor = await connection.execute(statement, values[number % len(values)], prepare=True)
            return await cursor.fetchall()

        return ask

    async def ours(number: int) -> Any:
        return await retriever.search(queries.vectors[number % len(values)], k=K)

    found: dict[str, dict[str, float]] = {"qps": {}, "bare_qps": {}, "qps_ratio": {}}
    for clients in CLIENTS:
        variants = {"ours": [ours] * clients, "bare": [bare(one) for one in connections[:clients]]}
        rates = await measure_throughput(variants, seconds=seconds)
        found["qps"][str(clients)], found["bare_qps"][str(clients)] = rates["ours"], rates["bare"]
        found["qps_ratio"][str(clients)] = round(rates["ours"] / rates["bare"], 3)
    for connection in connections:
        await connection.close()
    await engine.dispose()
    return found


async def _bare_client(url: URL, settings: Mapping[str, str]) -> "AsyncConnection[Any]":
    from pgvector.psycopg import register_vector_async

    connection = await AsyncConnection.connect(conninfo(url), autocommit=True)
    await register_vector_async(connection)
    for name, value in settings.items():
        await connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    return connection


def measure_mode(retriever: Retriever, queries: Queries, mode: Any, rounds: int) -> dict[str, Any]:
    variants = {mode: lambda number: retriever.search(queries.texts[number], k=K, mode=mode)}
    times = measure_latencies(variants, len(queries.texts), max(1, rounds // 2))[mode]
    rows = [len(retriever.search(question, k=K, mode=mode).hits) for question in queries.texts]
    return {**times, "rows": round(sum(rows) / len(rows), 2)}


if __name__ == "__main__":
    main()

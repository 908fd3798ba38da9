"""python -m tests.benchmarks.storage [--vectors 100000]: index methods and storages.

Prints one JSON object. Each kind of index has `build_s`, `bytes` on disk, and `points` by ef_search: recall@10 against
the exact order, and p50 and p95 in milliseconds over the queries (each the fastest of three) of the statement that
searches send. `insert_ms` is the time of one insert through the index, over a thousand more vectors. Kinds with `bit`
also have `oversampling`: recall@100 by the number of candidates per wanted hit that are rescored. --kinds selects some
kinds; --markdown prints the table of the documentation instead.

The vectors are those of tests.benchmarks.clustered, in a new database on the server of RAG_ASSETS_DATABASE_URL, or on
an embedded one in a temporary folder. All kinds are built over the same rows.
"""

import argparse
import json
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import URL, Connection, Engine, text

from rag_assets.db.connections.compiled import compile_statement
from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.execute import run_compiled
from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.knn import nearest_texts, rescored_candidates, statement_values
from rag_assets.db.index.state import index_bytes, used_index_names
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH, DEFAULT_EF_SEARCH_BIT
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.spaces import SpaceDefinition, ensure_space
from rag_assets.documents.text import content_hash
from rag_assets.search.evaluation.query_plans import force_index_scan, uses_index
from rag_assets.settings.settings import Settings
from tests.benchmarks.clustered import DIMENSIONS, Corpus
from tests.benchmarks.search import database_server
from tests.benchmarks.synthetic import EMBEDDINGS, copy
from tests.benchmarks.timing import percentile

K = 10
QUESTIONS = 100
OVERSAMPLING_QUERIES = 50
ROUNDS = 3
INSERTS = 1_000
KINDS = [f"{method} {storage}" for method in ("hnsw", "ivfflat") for storage in ("vector", "halfvec", "bit")]
EF_SEARCHES = (40, 80, 120, 200, 400, 800)
OVERSAMPLING = (1, 2, 4, 8, 16)
OVERSAMPLING_K = 100

DEFINITION = SpaceDefinition(
    kind="chunks",
    fingerprint="storage",
    chunking="storage",
    chunking_settings={},
    model="synthetic",
    revision="1",
    dimensions=DIMENSIONS,
    max_tokens=256,
    prompts={},
    normalize=True,
    distance="cosine",
    storage="vector",
    m=Settings().hnsw_m,
    ef_construction=Settings().hnsw_ef_construction,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--kinds", default=",".join(KINDS), help="separated by commas")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    corpus = Corpus(arguments.vectors)
    with database_server() as admin, filled_database(admin, corpus) as (engine, space):
        found = measure(engine, space, corpus, arguments.kinds.split(","))
    print(as_markdown(found) if arguments.markdown else json.dumps(found))


@contextmanager
def filled_database(
    admin: URL, corpus: Corpus, definition: SpaceDefinition = DEFINITION
) -> Iterator[tuple[Engine, EmbeddingSpace]]:
    """A space with the vectors of the corpus and no index, in a database that is dropped at the end."""
    from rag_assets.db.schema.migrations import upgrade

    name = f"bench_{uuid4().hex[:12]}"
    outside = make_engine(admin).execution_options(isolation_level="AUTOCOMMIT")
    with outside.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = make_engine(admin.set(database=name))
    try:
        upgrade(engine)
        yield engine, fill(engine, corpus, definition)
    finally:
        engine.dispose()
        with outside.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        outside.dispose()


def fill(engine: Engine, corpus: Corpus, definition: SpaceDefinition = DEFINITION) -> EmbeddingSpace:
    with engine.begin() as connection:
        space = ensure_space(connection, definition)
        for block in corpus.blocks():
            pairs = zip(map(content_hash, block.texts), block.vectors, strict=True)
            copy(connection, partition(space.id), EMBEDDINGS, ([space.id, *pair] for pair in pairs))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
    return space


def measure(engine: Engine, space: EmbeddingSpace, corpus: Corpus, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    drawn = corpus.questions(QUESTIONS + INSERTS)
    vectors, more = drawn.vectors[:QUESTIONS], drawn.vectors[QUESTIONS:]
    questions = [str(vector.tolist()) for vector in vectors]
    right = nearest_hashes(corpus, vectors)
    found = {}
    for kind in kinds:
        space.method, space.storage = kind.split()
        found[kind] = _measure_kind(engine, space, questions, right)
        found[kind]["insert_ms"] = _measure_insert_ms(engine, space, more)
        drop_index(engine, space)
        print(kind, found[kind], file=sys.stderr, flush=True)
    return found


def nearest_hashes(corpus: Corpus, questions: NDArray[np.float32]) -> list[list[bytes]]:
    """The hashes of the `OVERSAMPLING_K` nearest texts of each query by an exact scan, nearest first."""
    hashes: list[bytes] = []
    scores = []
    for block in corpus.blocks():
        hashes += map(content_hash, block.texts)
        scores.append(questions @ block.vectors.T)
    order = np.argsort(-np.hstack(scores), axis=1)[:, :OVERSAMPLING_K]
    return [[hashes[place] for place in row] for row in order]


def _measure_kind(
    engine: Engine,
    space: EmbeddingSpace,
    questions: Sequence[str],
    right: Sequence[Sequence[bytes]],
) -> dict[str, Any]:
    started = time.perf_counter()
    ensure_index(engine, space, IndexBuildOptions(memory_limit_mb=4096))
    found: dict[str, Any] = {"build_s": round(time.perf_counter() - started, 2)}
    with engine.begin() as connection:
        force_index_scan(connection)
        names = used_index_names(connection, space)
        found["bytes"] = index_bytes(connection, space)
        space.oversampling = 1
        # A first round with the highest ef_search, not counted, reads the pages into the caches.
        measure_searches(connection, space, questions, right, K, EF_SEARCHES[-1], names)
        found["points"] = [
            {"ef_search": ef_search} | measure_searches(connection, space, questions, right, K, ef_search, names)
            for ef_search in EF_SEARCHES
        ]
        if space.storage == "bit":
            found["oversampling"] = {}
            for space.oversampling in OVERSAMPLING:
                asked = measure_searches(
                    connection,
                    space,
                    questions[:OVERSAMPLING_QUERIES],
                    right,
                    OVERSAMPLING_K,
                    OVERSAMPLING_K,
                    names,
                )
                found["oversampling"][space.oversampling] = asked["recall"]
    return found


def _measure_insert_ms(engine: Engine, space: EmbeddingSpace, vectors: NDArray[np.float32]) -> float:
    with engine.connect() as connection:
        rows = ([space.id, content_hash(f"more {number}"), vector] for number, vector in enumerate(vectors))
        started = time.perf_counter()
        copy(connection, partition(space.id), EMBEDDINGS, rows)
        took_s = time.perf_counter() - started
        connection.rollback()
    return round(took_s * 1000 / len(vectors), 3)


def drop_index(engine: Engine, space: EmbeddingSpace) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in used_index_names(connection, space):
            connection.execute(text(f"DROP INDEX rag.{name}"))
        connection.execute(text("VACUUM rag.embeddings"))


def measure_searches(
    connection: Connection,
    space: EmbeddingSpace,
    questions: Sequence[str],
    right: Sequence[Sequence[bytes]],
    k: int,
    ef_search: int,
    indexes: Collection[str],
) -> dict[str, float]:
    statement = nearest_texts(space, partition(space.id), k, candidates=rescored_candidates(space, k, ef_search))
    assert uses_index(connection, statement, statement_values(questions[0], ef_search), indexes)
    sent = compile_statement(statement)
    recalls, times = [], []
    for question, best in zip(questions, right, strict=False):
        taken = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            near = run_compiled(connection, sent, statement_values(question, ef_search))
            taken.append((time.perf_counter() - started) * 1000)
        times.append(min(taken))
        recalls.append(len({hash_ for hash_, _ in near} & set(best[:k])) / k)
    return {
        "recall": round(sum(recalls) / len(recalls), 4),
        "p50_ms": round(percentile(times, 50), 2),
        "p95_ms": round(percentile(times, 95), 2),
    }


def as_markdown(found: dict[str, Any]) -> str:
    lines = [
        "| index | build | one vector more | on disk | recall@10 | p95 | for recall@10 of 0.97 |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, figures in found.items():
        first = DEFAULT_EF_SEARCH_BIT if kind.endswith("bit") else DEFAULT_EF_SEARCH
        [usual] = [point for point in figures["points"] if point["ef_search"] == first]
        enough = next((point for point in figures["points"] if point["recall"] >= 0.97), None)
        wanted = f"ef_search {enough['ef_search']}, p95 {enough['p95_ms']:.1f} ms" if enough else "not reached"
        cells = [
            kind,
            f"{figures['build_s']:.1f} s",
            f"{figures['insert_ms']:.1f} ms",
            f"{figures['bytes'] / 1e6:.0f} MB",
            f"{usual['recall']:.3f}",
            f"{usual['p95_ms']:.1f} ms",
            wanted,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

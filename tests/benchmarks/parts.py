"""python -m tests.benchmarks.parts [--vectors 20000] [--parts 1,2,4] [--memory-mb 2048]: an index in several parts.

For each number of parts, and each storage of the index: `build_s`, `peak_mb` (memory of the server's processes without
shared buffers, while it is built), `bytes` on disk, and `points` by ef_search: recall@10 against the exact order, p50
and p95 in milliseconds of the statement that searches send. `load_s` is the time to copy the vectors. --memory-mb is
RAG_ASSETS_INDEX_BUILD_MEMORY_MB: with less than one graph needs, parts are what makes it fit. `recommended` is the
number of parts that `rag-assets plan` recommends for it. Prints one JSON object.

The vectors are those of tests.benchmarks.clustered, in a new database on the server of RAG_ASSETS_DATABASE_URL, or on
an embedded one in a temporary folder.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.build_resources import parts_for
from rag_assets.db.index.state import index_bytes, used_index_names
from rag_assets.db.models import EmbeddingSpace
from rag_assets.search.evaluation.query_plans import force_index_scan
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.scale import server_memory
from tests.benchmarks.search import database_server
from tests.benchmarks.storage import (
    DEFINITION,
    QUESTIONS,
    K,
    drop_index,
    filled_database,
    measure_searches,
    nearest_hashes,
)

STORAGES = ("vector", "halfvec", "bit")
EF_SEARCHES = {"vector": (40, 120, 200), "halfvec": (40, 120, 200), "bit": (200, 800)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--parts", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--storages", default=",".join(STORAGES), help="separated by commas")
    parser.add_argument("--memory-mb", type=int, default=2048)
    arguments = parser.parse_args()
    corpus = Corpus(arguments.vectors)
    vectors = corpus.questions(QUESTIONS).vectors
    questions, right = [str(vector.tolist()) for vector in vectors], nearest_hashes(corpus, vectors)
    found: dict[str, Any] = {"vectors": arguments.vectors, "memory_mb": arguments.memory_mb, "parts": {}}
    with database_server() as admin:
        for parts in arguments.parts:
            started = time.perf_counter()
            with filled_database(admin, corpus, replace(DEFINITION, parts=parts)) as (engine, space):
                figures: dict[str, Any] = {"load_s": round(time.perf_counter() - started, 2)}
                found["parts"][parts] = figures
                for space.storage in arguments.storages.split(","):
                    figures[space.storage] = _measure(engine, space, arguments.memory_mb, questions, right)
                    print(parts, space.storage, figures[space.storage], file=sys.stderr, flush=True)
                    drop_index(engine, space)
    found["recommended"] = {
        storage: parts_for(EmbeddingSpace(**_shape(storage)), arguments.vectors, arguments.memory_mb)
        for storage in arguments.storages.split(",")
    }
    print(json.dumps(found))


def _measure(
    engine: Engine, space: EmbeddingSpace, memory_mb: int, questions: Sequence[str], right: Sequence[Sequence[bytes]]
) -> dict[str, Any]:
    started = time.perf_counter()
    with server_memory(engine) as server_mb:
        ensure_index(engine, space, IndexBuildOptions(memory_limit_mb=memory_mb))
    found: dict[str, Any] = {
        "build_s": round(time.perf_counter() - started, 2),
        "peak_mb": round(max(server_mb, default=0.0), 1),
    }
    with engine.begin() as connection:
        force_index_scan(connection)
        names = used_index_names(connection, space)
        found["bytes"] = index_bytes(connection, space)
        space.oversampling = 1
        # A first round, not counted, reads the pages into the caches.
        measure_searches(connection, space, questions, right, K, EF_SEARCHES[space.storage][-1], names)
        found["points"] = [
            {"ef_search": ef_search} | measure_searches(connection, space, questions, right, K, ef_search, names)
            for ef_search in EF_SEARCHES[space.storage]
        ]
    return found


def _shape(storage: str) -> dict[str, Any]:
    return {"storage": storage, "method": "hnsw", "dimensions": DEFINITION.dimensions, "m": DEFINITION.m}


if __name__ == "__main__":
    main()

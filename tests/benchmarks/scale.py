"""python -m tests.benchmarks.scale --chunks 10000,100000,1000000 [--disk FOLDER]: what grows with the corpus, and how.

For each size: a new installation with its own server, Markdown files of 18 chunks, and the job `ingest`, an asset after
the other, each in a process of its own; then 200 searches, and the job again with nothing changed. Vectors are not made
by a model: each text gets the sum of two vectors of a fixed pool, chosen by its hash. Prints one JSON object. `sizes`
has for each size the `rows` of chunks counted in the database; of each asset `seconds` (of its step in Dagster),
`peak_mb` (memory of the process), `server_peak_mb` (memory of the server's processes without shared buffers) and
`bytes` on disk; `search` the p50 and p95 of a hybrid search, and p50 by mode; `refresh` the seconds of the whole job.
`exponent` is the slope of the logarithm of seconds over that of rows; null for a single size. `limits` are the largest
exponents that are allowed, `passed` says whether all hold.
"""

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.clustered import Corpus
from tests.benchmarks.ingest import installation
from tests.benchmarks.refresh import PARAGRAPHS, write_corpus

if TYPE_CHECKING:
    from numpy.typing import NDArray

ASSETS = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
LIMITS = {"raw_documents": 1.05, "chunks": 1.05, "embeddings": 1.05, "hnsw_index": 1.2, "search": 0.35, "refresh": 0.3}
POOL = 20_000
OWN_SHARE = 0.4
QUERIES = 200
SAMPLE_S = 0.1
SIZES = {
    "raw_documents": "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'rag'::regnamespace "
    "AND relkind = 'r' AND relname IN ('documents', 'staged_documents')",
    "chunks": "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'rag'::regnamespace "
    "AND relkind = 'r' AND relname IN ('document_chunks', 'document_chunkings', 'staged_chunks', 'staged_chunkings')",
    "embeddings": "SELECT sum(pg_total_relation_size(i.inhrelid)) FROM pg_inherits i "
    "WHERE i.inhparent = 'rag.embeddings'::regclass",
    "hnsw_index": "SELECT coalesce(sum(pg_relation_size(i.indexrelid)), 0) FROM pg_index i "
    "JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam "
    "JOIN pg_inherits p ON p.inhrelid = i.indrelid "
    "WHERE a.amname = 'hnsw' AND p.inhparent = 'rag.embeddings'::regclass",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=lambda text: [int(one) for one in text.split(",")], default=[10_000])
    parser.add_argument("--disk", type=Path, help="a folder with room for the files and databases")
    parser.add_argument("--step", choices=[*ASSETS, "search", "refresh"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measure(arguments.step, arguments.folder)))
        return
    if arguments.disk:
        tempfile.tempdir = str(arguments.disk)
    sizes = {str(size): measure_size(size) for size in arguments.chunks}
    exponents = {name: exponent(list(sizes.values()), name) for name in LIMITS}
    passed = all(found <= LIMITS[name] for name, found in exponents.items() if found is not None)
    print(json.dumps({"sizes": sizes, "exponent": exponents, "limits": LIMITS, "passed": passed}))


def measure_size(chunks: int) -> dict[str, Any]:
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rag-bench-corpus-") as name, installation() as environment:
        folder = Path(name) / "corpus"
        write_corpus(folder, math.ceil(chunks / PARAGRAPHS))
        for step in (*ASSETS, "search", "refresh"):
            command = [sys.executable, "-m", "tests.benchmarks.scale", "--step", step, "--folder", str(folder)]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            report[step] = json.loads(done.stdout.splitlines()[-1])
            print(f"{chunks} {step}: {report[step]}", file=sys.stderr, flush=True)
    return {"rows": report["chunks"].pop("rows"), **report}


def exponent(sizes: Sequence[dict[str, Any]], name: str) -> float | None:
    """The slope of log(seconds) over log(rows), by least squares; None for fewer than two sizes."""
    points = [(math.log(size["rows"]), math.log(size[name]["seconds"])) for size in sizes]
    if len({rows for rows, _ in points}) < 2:
        return None
    return round(statistics.linear_regression(*zip(*points, strict=True)).slope, 3)


def measure(step: str, folder: Path) -> dict[str, Any]:
    from rag_assets.cli.commands.ingest import ProjectOptions, prepare_project
    from rag_assets.cli.runtime import installation as home
    from rag_assets.db.database import shared_engine
    from rag_assets.orchestration.partitions import projects

    settings = home.enter()
    engine = shared_engine(settings)
    if step == "search":
        return _search(engine)
    _embed_from_pool()
    name = prepare_project(engine, ProjectOptions(source=str(folder)))
    home.instance().add_dynamic_partitions(str(projects.name), [name])
    with server_memory(engine) as server_mb:
        seconds = _run(name, None if step == "refresh" else step)
    figures = {
        "seconds": round(seconds, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "server_peak_mb": round(max(server_mb, default=0.0), 1),
    }
    with engine.connect() as connection:
        if step in SIZES:
            figures["bytes"] = int(connection.exec_driver_sql(SIZES[step]).scalar() or 0)
        if step == "chunks":
            chunks = "SELECT (SELECT count(*) FROM rag.document_chunks) + (SELECT count(*) FROM rag.staged_chunks)"
            figures["rows"] = int(connection.exec_driver_sql(chunks).scalar() or 0)
    return figures


def _run(project: str, asset: str | None) -> float:
    """The seconds of one asset's step, or of the whole job."""
    from rag_assets.cli.runtime import installation as home
    from rag_assets.cli.runtime.run_job import run_job

    started = time.perf_counter()
    outcome = run_job("ingest", partition_key=project, only=None if asset is None else [asset])
    seconds = time.perf_counter() - started
    if outcome.error is not None:
        raise SystemExit(f"the run failed: {outcome.error}")
    if asset is None:
        return seconds
    stats = home.instance().get_run_step_stats(outcome.run_id)
    return sum((one.end_time or 0) - (one.start_time or 0) for one in stats if one.step_key == asset)


def _search(engine: Any) -> dict[str, Any]:
    from rag_assets.search.retriever import Retriever
    from tests.benchmarks.refresh import _vocabulary
    from tests.benchmarks.timing import percentile

    encoder: Any = PoolEncoder()
    search: Any = Retriever(engine, encoder=lambda _: encoder).search
    chance, words = random.Random(9), _vocabulary()
    queries = [" ".join(chance.choices(words, k=4)) for _ in range(QUERIES)]
    times: dict[str, list[float]] = {"hybrid": [], "vector": [], "text": []}
    for counted in (False, True):
        for query in queries:
            for mode, taken in times.items():
                started = time.perf_counter()
                search(query, k=10, mode=mode)
                if counted:
                    taken.append(time.perf_counter() - started)
    hybrid = times["hybrid"]
    return {
        "seconds": round(percentile(hybrid, 50), 6),
        "p95_seconds": round(percentile(hybrid, 95), 6),
        "by_mode": {mode: round(percentile(taken, 50), 6) for mode, taken in times.items()},
    }


class PoolEncoder:
    """Vectors that were made before: the sum of two of a pool in clusters, chosen by the hash of the text."""

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        keys = [int.from_bytes(sha256(text.encode()).digest()[:8]) for text in texts]
        pool = _pool()
        vectors = pool[[key % POOL for key in keys]] + OWN_SHARE * pool[[key // POOL % POOL for key in keys]]
        normalized: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normalized.astype(np.float32)

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        first: NDArray[np.float32] = self.encode([text])[0]
        return first


@cache
def _pool() -> "NDArray[np.float32]":
    return np.concatenate([block.vectors for block in Corpus(POOL).blocks()])


def _embed_from_pool() -> None:
    from rag_assets.orchestration.resources.embedder import Embedder

    _pool()
    Embedder.encoder = lambda self, space: PoolEncoder()  # type: ignore[method-assign,assignment,return-value]


@contextmanager
def server_memory(engine: Any) -> Iterator[list[float]]:
    """Samples of the memory of all processes of the server, in MB: what is private to them."""
    with engine.connect() as connection:
        backend = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar())
    postmaster = int(_status(backend).get("PPid", "0"))
    found: list[float] = []
    stopped = threading.Event()

    def sample() -> None:
        while not stopped.wait(SAMPLE_S):
            statuses = [_status(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()]
            own = [one for one in statuses if one.get("PPid") == str(postmaster)]
            found.append(sum(int(one.get("RssAnon", "0 kB").split()[0]) for one in own) / 1024)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stopped.set()
        thread.join()


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


if __name__ == "__main__":
    main()

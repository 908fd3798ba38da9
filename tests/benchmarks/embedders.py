"""How much faster two processes embed one project than one, where the model is not on these cores.

    python -m tests.benchmarks.embedders [--documents 400] [--batch-s 0.1] [--workers 1,2]

The model is a stand-in that waits for a fixed time for each batch of 32 texts, as for a server of embeddings, and
computes next to nothing. Each worker is a process of its own, which runs the stage `embeddings` over the same
partition. Prints one JSON object: seconds of each number of workers, from the moment that all are ready, the ratio of
the first to the last, how many texts each embedded, and how many were embedded twice (none).
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BATCH_TEXTS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--batch-s", type=float, default=0.1)
    parser.add_argument("--workers", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2])
    options = parser.parse_args()
    report: dict[str, Any] = {"documents": options.documents, "batch_s": options.batch_s, "batch_texts": BATCH_TEXTS}
    for workers, found in measure_workers(options.documents, options.batch_s, options.workers).items():
        report[f"workers_{workers}"] = found
    first, *_, last = options.workers
    report["ratio"] = round(report[f"workers_{first}"]["seconds"] / report[f"workers_{last}"]["seconds"], 3)
    print(json.dumps(report))


def measure_workers(documents: int, batch_s: float, numbers: Sequence[int] = (1, 2)) -> dict[int, dict[str, Any]]:
    """The figures of each number of workers over so many documents of one chunk."""
    from rag_assets.testing import temporary_database

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(documents):
            Path(folder, f"{number}.md").write_text(f"# Page {number}\n\nThe animal number {number} eats grass.\n")
        for workers in numbers:
            with temporary_database() as url:
                found[workers] = _measure(url, folder, workers, batch_s)
    return found


def _measure(url: str, folder: str, workers: int, batch_s: float) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    prepared = context.Process(target=_prepare, args=(url, folder))
    prepared.start()
    prepared.join()
    barrier, results = context.Barrier(workers + 1), context.Queue()
    processes = [context.Process(target=_work, args=(url, batch_s, barrier, results)) for _ in range(workers)]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    embedded = [results.get() for _ in processes]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    texts = [text for own in embedded for text in own]
    return {
        "seconds": round(seconds, 3),
        "texts": [len(own) for own in embedded],
        "embedded_twice": len(texts) - len(set(texts)),
    }


def _prepare(url: str, folder: str) -> None:
    from tests.support.pipeline.stages import Steps

    steps = _steps(url, Steps)
    steps.project("zoo", folder)
    steps.project("empty", __file__)
    for project in ("zoo", "empty"):
        steps.documents(project)
        steps.chunks(project)
    steps.embeddings("empty")


def _work(url: str, batch_s: float, barrier: Any, results: Any) -> None:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.embedding.batches import BatchLimits
    from rag_assets.testing import HashEncoder
    from tests.support.pipeline.stages import Steps

    class WaitingEncoder(HashEncoder):
        batch_limits = BatchLimits(100_000, BATCH_TEXTS)

        def encode(self, texts: Any) -> Any:
            time.sleep(batch_s)
            return super().encode(texts)

    class Worker(Steps):
        def encoder(self, space: EmbeddingSpace) -> HashEncoder:
            return self.encoders.setdefault(space.id, WaitingEncoder(space.dimensions))

    steps = _steps(url, Worker)
    # What starting costs: imports, the tokenizer, connections, and the plans of statements.
    steps.embeddings("empty")
    barrier.wait()
    steps.embeddings("zoo")
    results.put(steps.embedded)


def _steps(url: str, kind: Any) -> Any:
    import os

    from rag_assets.db.database import shared_engine
    from rag_assets.settings.settings import load_settings

    os.environ["RAG_ASSETS_DATABASE_URL"] = url
    settings = load_settings()
    return kind(shared_engine(settings), settings)


if __name__ == "__main__":
    main()

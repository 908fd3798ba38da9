"""python -m tests.benchmarks.flip [--vectors 10000] [--clients 8] [--seconds 10]: promote and roll back under load.

Clients, each a process with an open pool and prepared statements, search without a pause. Meanwhile the live space of
384 dimensions is replaced by one of the same vectors shortened to --dimensions, by the stages and checks of a run of
the pipeline, and then rolled back. It runs on its own embedded server.

Prints one JSON object. `errors` are searches that raised, `empty` answers with fewer than ten hits. `mixed` are answers
with a hit whose score differs from the similarity of its chunk to the query in the space that the answer names,
computed with numpy (`ambiguous`: hits whose score is right in both spaces). `stale` are answers from the old space to
searches that began after the promotion. `p99_ratio` compares whole searches during the build and its checks
(`p99_during_ms`) with those before it; `rollback_s` is the duration of the rollback. Vectors are looked up, not
embedded: the load of a model on the same cores is not included.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import URL, Engine, make_url

from rag_assets.db.connections.engines import DRIVER, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.schema import migrations
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.documents.text import content_hash
from rag_assets.pipeline import refresh
from rag_assets.pipeline.stages import live_space
from rag_assets.pipeline.stages.index import refresh_indexes
from rag_assets.pipeline.stages.live_space import promote_wanted_space
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.benchmarks import synthetic
from tests.benchmarks.clustered import Corpus
from tests.benchmarks.timing import percentile
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write_batches

K = 10
QUESTIONS = 200
SCORE_TOLERANCE = 1e-4
WARM_UP_S = 2.0

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Search:
    """One search of one client. `began` is on the monotonic clock, which all processes of a machine share."""

    began: float
    took_ms: float
    space: int
    hits: int
    mixed: bool
    ambiguous: int
    error: str = ""


class KnownVectors:
    """The vectors of a corpus by text and by chunk, in a folder that the processes share."""

    def __init__(self, folder: Path) -> None:
        self.vectors: Vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        self.questions: Vectors = np.load(folder / "questions.npy")
        names = json.loads((folder / "names.json").read_text())
        self.asked: list[str] = names["questions"]
        self.place = dict(zip(names["texts"], range(len(names["texts"])), strict=True))
        self.chunks: dict[str, int] = {id_: self.place[text] for id_, text in names["chunks"]}

    @staticmethod
    def save(folder: Path, engine: Engine, size: int) -> "KnownVectors":
        corpus = Corpus(size, per_document=synthetic.PER_DOCUMENT)
        blocks = list(corpus.blocks())
        asked = corpus.questions(QUESTIONS)
        texts = [text for block in blocks for text in block.texts]
        by_hash = {content_hash(text): text for text in texts}
        stored = rows(engine, "SELECT id::text, content_hash FROM rag.document_chunks")
        chunks = [(id_, by_hash[hash_]) for id_, hash_ in stored]
        np.save(folder / "vectors.npy", np.concatenate([block.vectors for block in blocks]))
        np.save(folder / "questions.npy", asked.vectors)
        names = {"texts": texts, "questions": asked.texts, "chunks": chunks}
        (folder / "names.json").write_text(json.dumps(names))
        return KnownVectors(folder)

    def encoder(self, space: EmbeddingSpace) -> "LookupEncoder":
        return LookupEncoder(self, space.dimensions)


class LookupEncoder:
    """An encoder that looks its texts up: the first dimensions of their vectors, normalized again."""

    def __init__(self, known: KnownVectors, dimensions: int) -> None:
        self.dimensions = dimensions
        self._known = known
        self._asked = dict(zip(known.asked, known.questions, strict=True))

    def encode(self, texts: Sequence[str]) -> Vectors:
        return shorten(self._known.vectors[[self._known.place[text] for text in texts]], self.dimensions)

    def encode_query(self, text: str) -> Vectors:
        vector: Vectors = shorten(self._asked[text][None], self.dimensions)[0]
        return vector


def shorten(vectors: Vectors, dimensions: int) -> Vectors:
    cut = vectors[:, :dimensions].astype(np.float32)
    unit: Vectors = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    return unit


def run_client(url: str, folder: str, number: int, dimensions: dict[int, int], stop: Any, found: Any) -> None:
    """Search without a pause until `stop` is set; `dimensions` has the dimensions of each space by id."""
    known = KnownVectors(Path(folder))
    truth = {space: shorten(known.vectors, size) for space, size in dimensions.items()}
    asked = {space: shorten(known.questions, size) for space, size in dimensions.items()}
    engine = make_engine(make_url(url), options=EngineOptions.from_settings(Settings(pool_size=2), "read"))
    retriever = Retriever(engine, encoder=known.encoder)
    searches: list[Search] = []
    found.put(None)
    while not stop.is_set():
        question = (number * 37 + len(searches)) % len(known.asked)
        began = time.monotonic()
        try:
            answer = retriever.search(known.asked[question], k=K, mode="vector")
        except Exception as error:
            searches.append(Search(began, 0.0, 0, K, False, 0, f"{type(error).__name__}: {error}"[:200]))
            continue
        took_ms = (time.monotonic() - began) * 1000
        places = [known.chunks[str(hit.chunk_id)] for hit in answer.hits]
        scores = np.array([hit.score for hit in answer.hits])
        right = {
            space: np.abs(vectors[places] @ asked[space][question] - scores) < SCORE_TOLERANCE
            for space, vectors in truth.items()
        }
        mixed = not right[answer.space].all()
        both = int(np.logical_and.reduce(list(right.values())).sum())
        searches.append(Search(began, took_ms, answer.space, len(answer.hits), mixed, both))
    engine.dispose()
    found.put(searches)


def measure(url: URL, folder: Path, *, vectors: int, dimensions: int, clients: int, seconds: float) -> dict[str, Any]:
    """Fill the database, which must be migrated and empty; promote a space and roll it back under searches."""
    engine = make_engine(url)
    synthetic.fill(engine, vectors)
    known = KnownVectors.save(folder, engine, vectors)
    # The limit is high, since this benchmark keeps all cores busy and does not judge latency.
    settings = Settings(dimensions=dimensions, latency_limit_ms=10_000)
    context = multiprocessing.get_context("spawn")
    stop, found = context.Event(), context.Queue()
    address = url.render_as_string(hide_password=False)
    spaces = {1: 384, 2: dimensions}
    processes = [
        context.Process(target=run_client, args=(address, str(folder), number, spaces, stop, found), daemon=True)
        for number in range(clients)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        found.get(timeout=120)
    time.sleep(WARM_UP_S)
    marks = {"before": time.monotonic()}
    time.sleep(seconds)
    marks["build"] = time.monotonic()
    build_and_promote(engine, settings, known)
    marks["flipped"] = time.monotonic()
    time.sleep(seconds)
    marks["rollback"] = time.monotonic()
    back = live_space.roll_back(engine)
    marks["back"] = time.monotonic()
    time.sleep(seconds)
    stop.set()
    searches = [search for _ in processes for search in found.get(timeout=120)]
    for process in processes:
        process.join(timeout=60)
    live = (back.live_before.id if back.live_before else None, back.space.id)
    engine.dispose()
    return summarize(searches, marks, live) | {"vectors": vectors, "clients": clients, "dimensions": [384, dimensions]}


def build_and_promote(engine: Engine, settings: Settings, known: KnownVectors) -> None:
    """Do what a run of the pipeline does after a change of settings, including the promotion."""
    target = target_space(settings)
    projects = [name for (name,) in rows(engine, "SELECT name FROM rag.projects ORDER BY name")]
    write_batches(engine, refresh.refresh_chunks(engine, settings, projects, target))
    write_batches(engine, refresh.refresh_embeddings(engine, settings, projects, target, known.encoder))
    refresh_indexes(engine, settings, target)
    promote_wanted_space(engine, settings, target, known.encoder)


def summarize(searches: Sequence[Search], marks: dict[str, float], flips: tuple[int | None, int]) -> dict[str, Any]:
    new, old = flips
    done = [search for search in searches if not search.error]
    before = [one.took_ms for one in done if marks["before"] <= one.began < marks["build"]]
    during = [one.took_ms for one in done if marks["build"] <= one.began < marks["flipped"]]
    wanted = [(one, new) for one in done if marks["flipped"] <= one.began < marks["rollback"]]
    wanted += [(one, old) for one in done if marks["back"] <= one.began]
    return {
        "searches": len(searches),
        "errors": len(searches) - len(done),
        "messages_of_errors": sorted({one.error for one in searches if one.error})[:5],
        "mixed": sum(one.mixed for one in done),
        "ambiguous": sum(one.ambiguous for one in done),
        "empty": sum(one.hits < K for one in done),
        "stale": sum(one.space != space for one, space in wanted),
        "by_space": {str(space): sum(one.space == space for one in done) for space in (old, new)},
        "p99_before_ms": round(percentile(before, 99), 2),
        "p99_during_ms": round(percentile(during, 99), 2),
        "p99_ratio": round(percentile(during, 99) / percentile(before, 99), 3),
        "p50_before_ms": round(percentile(before, 50), 2),
        "p50_during_ms": round(percentile(during, 50), 2),
        "build_s": round(marks["flipped"] - marks["build"], 3),
        "rollback_s": round(marks["back"] - marks["rollback"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument(
        "--seconds",
        type=float,
        default=10,
        help="of searching before the build, after the promotion and after the rollback",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-flip-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedServer.at(Path(folder, "server"))
        try:
            url = make_url(server.ensure_running()).set(drivername=DRIVER)
            engine = make_engine(url)
            migrations.upgrade(engine)
            engine.dispose()
            print(json.dumps(measure(url, Path(folder), **vars(arguments))))
        finally:
            server.stop()


if __name__ == "__main__":
    main()

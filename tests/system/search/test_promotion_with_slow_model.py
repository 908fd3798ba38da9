"""Another model over HTTP is promoted while searches run, and its server answers slowly."""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings, load_settings
from rag_assets.testing import HashEncoder
from tests.integration.embedding.conftest import RemoteSteps
from tests.support.embedding_server.behaviours import delay, fail
from tests.support.embedding_server.messages import Answer, Request
from tests.support.embedding_server.server import running_embedding_server
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write

MODELS = {"small": 16, "wide": 64}
SEARCHERS = 3


@pytest.fixture
def slow_server() -> Iterator[str]:
    """Both models on one server, which takes a tenth of a second, and refuses every ninth request for a moment."""
    encoders = {name: HashEncoder(dimensions) for name, dimensions in MODELS.items()}
    numbers = count(1)
    with running_embedding_server() as server:

        def answer(request: Request) -> Answer:
            encoder = encoders[request.body["model"]]
            data = [
                {"index": index, "embedding": encoder.encode_query(text).tolist()}
                for index, text in enumerate(request.texts)
            ]
            return Answer(content={"data": data})

        server.misbehave(answer)
        server.misbehave(lambda request: fail(429, Retry_After="0.05")(request) if next(numbers) % 9 == 0 else None)
        server.misbehave(delay(0.1))
        yield server.url


def test_searches_go_on_while_a_slow_model_takes_over(
    slow_server: str, settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write(tmp_path / "zoo" / f"{number}.md", f"Animal number {number} eats {number} leaves.")

    def use(model: str) -> RemoteSteps:
        for name, value in {
            "MODEL": f"openai:{model}",
            "DIMENSIONS": str(MODELS[model]),
            "EMBEDDING_URL": slow_server,
            "EMBEDDING_REQUEST_TEXTS": "8",
        }.items():
            monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
        return RemoteSteps(engine, load_settings())

    steps = use("small")
    steps.project("zoo", tmp_path / "zoo")
    steps.all("zoo")
    steps.live()
    retriever = Retriever(engine, steps.settings)
    stop, failures, spaces = threading.Event(), [], [[] for _ in range(SEARCHERS)]  # type: ignore[var-annotated]

    def search(searcher: int) -> None:
        for number in count():
            if stop.is_set():
                return
            try:
                answer = retriever.search(f"searcher {searcher} asks {number}", k=5)
                assert len(answer.hits) == 5
                spaces[searcher].append(answer.space)
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=search, args=(searcher,)) for searcher in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    try:
        steps = use("wide")
        write(tmp_path / "zoo" / "new.md", "A new animal came.")
        steps.all("zoo")
        steps.live()
        # A few more of each, in the new space.
        done = [len(own) for own in spaces]
        while not failures and any(len(own) < before + 3 for own, before in zip(spaces, done, strict=True)):
            stop.wait(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    for own in spaces:
        assert own == sorted(own)
        assert set(own) == {1, 2}
    assert rows(engine, "SELECT space_id, count(*) FROM rag.embeddings GROUP BY 1 ORDER BY 1") == [(1, 41), (2, 41)]

"""Another model over HTTP takes the place of one: each space is embedded and asked by its own server alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag_assets.errors import RefusedError
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import load_settings
from tests.integration.embedding.conftest import RemoteSteps
from tests.support.embedding_server.server import DIMENSIONS, EmbeddingServer, running_embedding_server
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write

VECTORS = "SELECT space_id, count(*) FROM rag.embeddings GROUP BY space_id ORDER BY space_id"
OTHER_KEY = "key-of-the-other-server"


@pytest.fixture
def other_server() -> Iterator[EmbeddingServer]:
    """A server whose model gives other vectors of the same dimensions."""
    with running_embedding_server() as server:
        good = server.good_content

        def mirrored(request: object) -> dict[str, object]:
            content = good(request)  # type: ignore[arg-type]
            for entry in content["data"]:
                entry["embedding"] = entry["embedding"][::-1]
            return content

        server.good_content = mirrored  # type: ignore[method-assign,assignment]
        yield server


def set_model(monkeypatch: pytest.MonkeyPatch, steps: RemoteSteps, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    steps.settings = load_settings()


def test_each_space_is_asked_of_its_own_server(
    remote: RemoteSteps,
    embedding_server: EmbeddingServer,
    other_server: EmbeddingServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(folder / "1.md", "One whale.")
    write(folder / "2.md", "Two whales.")
    remote.project("zoo", folder)
    remote.all("zoo")
    remote.live()
    first_server = {"PREVIOUS_EMBEDDING_URL": embedding_server.url, "PREVIOUS_EMBEDDING_API_KEY": "sk-first"}

    # The new server gets no text of the old model, which it would embed with its own.
    set_model(monkeypatch, remote, MODEL="openai:other", EMBEDDING_URL=other_server.url, EMBEDDING_API_KEY=OTHER_KEY)
    write(folder / "3.md", "Three whales.")
    remote.all("zoo")
    assert rows(remote.engine, VECTORS) == [(1, 2), (2, 3)]
    assert sorted(other_server.accepted) == ["One whale.", "Three whales.", "Two whales."]
    retriever = Retriever(remote.engine, remote.settings)
    with pytest.raises(RefusedError, match=r"space 1 .* set RAG_ASSETS_PREVIOUS_EMBEDDING_URL"):
        retriever.search("whale", mode="vector")
    assert retriever.search("whale", mode="text").hits

    # With its address, the live space is kept up to date and searched until the promotion.
    set_model(monkeypatch, remote, **first_server)
    remote.embeddings("zoo")
    assert rows(remote.engine, VECTORS) == [(1, 3), (2, 3)]
    assert Retriever(remote.engine, remote.settings).search("whale", mode="vector").space == 1
    assert OTHER_KEY not in str([request.headers for request in embedding_server.requests])
    assert "sk-first" not in str([request.headers for request in other_server.requests])
    remote.live()
    assert Retriever(remote.engine, remote.settings).search("whale", mode="vector").space == 2


def test_a_server_that_answers_with_another_model_is_found_out(
    remote: RemoteSteps,
    embedding_server: EmbeddingServer,
    other_server: EmbeddingServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(folder / "1.md", "One whale.")
    remote.project("zoo", folder)
    remote.all("zoo")
    remote.live()
    # The same address, but its server was started with another model, and ignores names.
    embedding_server.good_content = other_server.good_content  # type: ignore[method-assign]
    set_model(monkeypatch, remote, MODEL="openai:other")
    write(folder / "2.md", "Two whales.")
    remote.all("zoo")
    assert rows(remote.engine, VECTORS) == [(1, 1), (2, 2)]
    assert "vectors for openai:nobody-knows are not those of space 1" in caplog.text


def test_a_server_may_move(
    remote: RemoteSteps,
    embedding_server: EmbeddingServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(folder / "1.md", "One whale.")
    remote.project("zoo", folder)
    remote.all("zoo")
    remote.live()
    with running_embedding_server(DIMENSIONS) as moved:
        set_model(monkeypatch, remote, EMBEDDING_URL=moved.url)
        write(folder / "2.md", "Two whales.")
        assert remote.all("zoo")["embedded"] == 1
        assert moved.accepted == ["Two whales."]
        assert rows(remote.engine, VECTORS) == [(1, 2)]

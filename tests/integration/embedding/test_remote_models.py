"""Ingest and search with a model over HTTP."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import SecretStr

from rag_assets import AsyncClient, Client
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import RefusedError, ServiceError
from rag_assets.pipeline import refresh
from rag_assets.pipeline.audit.promotion import serves_wanted_space
from rag_assets.pipeline.audit.search_quality import search_quality
from rag_assets.pipeline.audit.vectors import texts_have_vectors
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.repositories import SyncMemories
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings, load_settings
from tests.integration.embedding.conftest import KEY, RemoteSteps
from tests.support.embedding_server.behaviours import delay, fail, refuse
from tests.support.embedding_server.server import DIMENSIONS, EmbeddingServer
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write, write_batches


def write_animals(folder: Path, number: int = 40) -> None:
    for each in range(number):
        write(folder / f"{each}.md", f"Animal number {each} eats {each} leaves.")
    write(folder / "again.md", "Animal number 3 eats 3 leaves.")


def test_each_text_is_sent_once_from_ingest_to_search(
    remote: RemoteSteps, embedding_server: EmbeddingServer, folder: Path, tmp_path: Path
) -> None:
    write_animals(folder)
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"query": "number 3 leaves", "relevant": {"3.md": 1}}) + "\n")
    remote.project("zoo", folder, questions=str(questions))
    figures = remote.all("zoo")
    assert (figures["distinct"], figures["embedded"], figures["failed"]) == (40, 40, 0)
    remote.live()
    texts = [text for (text,) in rows(remote.engine, "SELECT DISTINCT chunk_text FROM rag.document_chunks")]
    assert sorted(embedding_server.accepted) == sorted(texts)

    def retriever() -> Retriever:
        return Retriever(remote.engine, load_settings())

    for _ in range(2):
        assert search_quality(remote.engine, retriever).metadata["questions"] == 1
    assert retriever().search("number 3 leaves", k=5).hits
    assert sorted(embedding_server.accepted) == sorted([*texts, "number 3 leaves"])
    assert remote.all("zoo")["embedded"] == 0
    assert len(embedding_server.accepted) == 41
    space = rows(remote.engine, "SELECT model, revision, dimensions, max_tokens, prompts FROM rag.embedding_spaces")
    assert space == [("openai:nobody-knows", "api", DIMENSIONS, 512, {})]
    dump = str(rows(remote.engine, "SELECT s::text, c::text FROM rag.embedding_spaces s, rag.document_chunks c"))
    assert KEY not in dump
    assert "127.0.0.1" not in dump


def test_a_refused_text_is_recorded_and_the_rest_is_served(
    remote: RemoteSteps, embedding_server: EmbeddingServer, folder: Path
) -> None:
    write_animals(folder)
    write(folder / "bad.md", "A word that is bad.")
    embedding_server.misbehave(refuse("bad", message=f"no: {KEY}"))
    remote.project("zoo", folder)
    figures = remote.all("zoo")
    assert (figures["embedded"], figures["failed"]) == (40, 1)
    ((error,),) = rows(remote.engine, "SELECT error FROM rag.embedding_failures")
    assert "the server refused it (400): no: …" in error
    remote.live()
    with remote.engine.connect() as connection:
        space = get_live_space(connection)
    assert space is not None
    check = texts_have_vectors(remote.engine, space)
    assert (check.passed, check.warning) == (False, True)
    assert check.reason == "1 of 41 distinct texts have no vector, 1 of them refused by the model's server"
    assert Retriever(remote.engine, remote.settings).search("leaves", k=5).hits
    served = serves_wanted_space(remote.engine, space.fingerprint)
    assert (served.passed, served.metadata["chunks_refused"]) == (True, 1)
    accepted = len(embedding_server.accepted)
    embedding_server.behaviours.clear()
    assert remote.embeddings("zoo")["embedded"] == 1
    assert embedding_server.accepted[accepted:] == ["A word that is bad."]
    assert not rows(remote.engine, "SELECT error FROM rag.embedding_failures")


def test_what_was_embedded_before_the_server_failed_is_kept(
    remote: RemoteSteps, embedding_server: EmbeddingServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_animals(folder)
    remote.project("zoo", folder)
    remote.documents("zoo")
    remote.chunks("zoo")
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_REQUEST_TEXTS", "8")
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_CONCURRENCY", "1")
    remote.settings = load_settings()
    served = iter(range(3))
    embedding_server.misbehave(lambda request: None if next(served, None) is not None else fail(401)(request))
    with pytest.raises(RefusedError, match="RAG_ASSETS_EMBEDDING_API_KEY"):
        remote.embeddings("zoo")
    assert rows(remote.engine, "SELECT count(*) FROM rag.embeddings") == [(24,)]
    embedding_server.behaviours.clear()
    assert remote.embeddings("zoo")["embedded"] == 16
    assert len(embedding_server.accepted) == len(set(embedding_server.accepted)) == 40


def test_memories_beyond_the_window_are_sent_in_pieces(remote: RemoteSteps, embedding_server: EmbeddingServer) -> None:
    memories = SyncMemories(remote.engine)
    long = " ".join(f"The heron number {number} stands in the reeds." for number in range(200))
    refused = " ".join(f"The otter number {number} is bad." for number in range(200))
    for content in ("short", long, refused):
        memories.remember(content)
    embedding_server.misbehave(refuse("bad"))

    def embed() -> Counter[str]:
        target = target_space(remote.settings, "memories")
        return write_batches(
            remote.engine, refresh.refresh_memory_embeddings(remote.engine, remote.settings, target, remote.encoder)
        )

    figures = embed()
    assert (figures["embedded"], figures["failed"], figures["longer_than_window"]) == (2, 1, 2)
    assert figures["billed_tokens"] == sum(len(text.split()) for text in embedding_server.accepted)
    pieces = [text for text in embedding_server.accepted if "heron" in text]
    assert len(pieces) > 1
    assert sum(text.count("The heron") for text in pieces) == 200
    assert len(set(embedding_server.accepted)) == len(embedding_server.accepted)
    accepted = len(embedding_server.accepted)
    embedding_server.behaviours.clear()
    assert embed()["embedded"] == 1
    assert all("otter" in text for text in embedding_server.accepted[accepted:])


async def _search_many_at_once(settings: Settings) -> list[int]:
    async with AsyncClient(settings) as client:
        cancelled = asyncio.create_task(client.search("cancelled"))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        answers = await asyncio.gather(*(client.search(f"leaves {number}") for number in range(8)))
        return [len(answer.hits) for answer in answers]


def test_searches_wait_for_the_server_only_as_long_as_they_may(
    remote: RemoteSteps, embedding_server: EmbeddingServer, folder: Path
) -> None:
    write_animals(folder, 3)
    remote.project("zoo", folder)
    remote.all("zoo")
    remote.live()
    url = SecretStr(remote.engine.url.render_as_string(hide_password=False))
    settings = load_settings().model_copy(update={"database_url": url})
    embedding_server.misbehave(delay(0.2))
    embedding_server.most_at_once = 0
    assert asyncio.run(_search_many_at_once(settings)) == [4] * 8
    assert embedding_server.most_at_once > 1
    with Client(settings) as client:
        asked = len(embedding_server.requests)
        assert len(client.search_many([f"many {number}" for number in range(9)])) == 9
        assert len(embedding_server.requests) == asked + 1
        with pytest.raises(ServiceError, match=r"the query could not be embedded within 0.05 s"):
            client.search("slow", timeout_s=0.05)
        assert client.search("slow but right").hits
        embedding_server.misbehave(fail(500))
        # Answered from memory, and by words alone.
        assert client.search("slow but right").hits
        assert client.search("leaves", mode="text").hits

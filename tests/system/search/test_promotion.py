"""A new space is built and checked beside the live one, then promoted; until then the old one stays fresh."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.orchestration.partitions import projects
from tests.support.data.corpus import PROJECTS
from tests.support.fakes import ENCODERS
from tests.support.pipeline.runs import STAGES, errors, metadata, rows, run

ALL = (*STAGES, "live_space")
CHUNKS_OF = (
    "SELECT content_hash FROM rag.document_chunks c JOIN rag.embedding_spaces s ON s.chunking = c.chunking "
    "WHERE s.id = :space"
)
STATUS = "SELECT id, status FROM rag.embedding_spaces ORDER BY id"


@pytest.fixture
def zoo(built: Engine) -> Iterator[Path]:
    """The folder of project zoo; files that the test adds are deleted at the end."""
    ENCODERS.clear()
    dg.DagsterInstance.get().add_dynamic_partitions(str(projects.name), list(PROJECTS))
    [(folder,)] = rows(built, "SELECT source_uri FROM rag.projects WHERE name = 'zoo'")
    before = set(Path(folder).iterdir())
    yield Path(folder)
    for added in set(Path(folder).iterdir()) - before:
        added.unlink()


@pytest.mark.parametrize(
    ("method", "storage", "shown"),
    [
        ("hnsw", "halfvec", "halfvec"),
        pytest.param("hnsw", "bit", "vector"),
        pytest.param("ivfflat", "vector", "vector"),
    ],
)
def test_another_index_of_the_same_model_embeds_nothing(
    built: Engine, zoo: Path, monkeypatch: pytest.MonkeyPatch, method: str, storage: str, shown: str
) -> None:
    monkeypatch.setenv("RAG_ASSETS_INDEX_METHOD", method)
    monkeypatch.setenv("RAG_ASSETS_INDEX_STORAGE", storage)
    result = run(keys=PROJECTS, only=ALL)
    assert errors(result) == []
    assert {space: len(encoder.embedded) for space, encoder in ENCODERS.items()}.get(2, 0) == 0
    assert metadata(result, "live_space")["promoted"] is True
    # The old space is kept for a rollback.
    assert rows(built, STATUS) == [(1, "previous"), (2, "live")]
    assert metadata(result, "hnsw_index")["spaces"][1]["status"] == "live"
    assert rows(built, "SELECT DISTINCT pg_typeof(embedding)::text FROM rag.live_chunks") == [(shown,)]
    assert rows(built, "SELECT method, storage FROM rag.embedding_spaces WHERE id = 2") == [(method, storage)]


def test_another_chunking_embeds_only_texts_that_no_space_of_the_model_has(
    built: Engine, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {hash_ for (hash_,) in rows(built, "SELECT content_hash FROM rag.embeddings")}
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "120")
    result = run(keys=PROJECTS, only=ALL)
    assert errors(result) == []
    new = {hash_ for (hash_,) in rows(built, CHUNKS_OF, space=2)}
    assert 0 < len(new & old) < len(new)
    assert len(ENCODERS[2].embedded) == len(new - old)
    assert rows(built, "SELECT count(*) FROM rag.embeddings_2") == [(len(new),)]


def test_the_live_space_stays_fresh_while_the_wanted_one_fails_its_checks(
    built: Engine, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", "0.001")
    (zoo / "new.txt").write_text("A giraffe came to the zoo today.\n")
    result = run(keys=PROJECTS, only=ALL)
    # In one run the blocking check stops the promotion; a run of live_space alone runs the checks itself.
    assert any("hnsw_index: search_latency" in message for message in errors(result))
    message = errors(run(only=["live_space"]))[0]
    assert "does not serve yet" in message
    assert "p95 of a search is" in message
    assert "Searches go on in space 1" in message
    assert rows(built, STATUS) == [(1, "live"), (2, "building")]
    # Searches, which use space 1, see the new document.
    shown = "SELECT source FROM rag.live_chunks WHERE content LIKE '%giraffe%'"
    assert rows(built, shown) == [("new.txt",)]
    monkeypatch.delenv("RAG_ASSETS_LATENCY_LIMIT_MS")
    assert errors(run(keys=PROJECTS, only=ALL)) == []
    assert rows(built, STATUS) == [(1, "previous"), (2, "live")]
    assert rows(built, shown) == [("new.txt",)]

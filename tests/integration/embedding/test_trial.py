"""rag-assets try: another model on a sample, beside the live space."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rag_assets.cli.main import app
from rag_assets.embedding.encoder import get_space_encoder
from rag_assets.errors import ServiceError, UsageError
from rag_assets.pipeline.trial.trial import try_model
from rag_assets.settings.settings import load_settings
from tests.integration.embedding.conftest import RemoteSteps
from tests.support.embedding_server.behaviours import refuse
from tests.support.embedding_server.server import EmbeddingServer, running_embedding_server
from tests.support.json_shapes import assert_shape
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write

NUMBERS = {"seconds": float, "tokens": int, "cost": float}
TRIAL = {
    "model": str,
    "live_model": str,
    "texts": int,
    "refused": int,
    "queries": int,
    "queries_made": bool,
    "live": dict,
    "tried": dict,
    "overlap@10": float,
    "sample": NUMBERS,
    "all": {"texts": int, "tokens": int, "minutes": float, "bytes": int, "cost": float},
}


def state(steps: RemoteSteps) -> Any:
    tables = ("embedding_spaces", "embeddings", "embedding_costs", "query_vectors", "document_chunks", "work_rates")
    return [
        rows(steps.engine, f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM rag.{table} t")
        for table in tables
    ]


@pytest.fixture
def zoo(remote: RemoteSteps, folder: Path) -> RemoteSteps:
    """A live space of a small model, whose 8 dimensions mix up words."""
    for number, animal in enumerate(("whale", "zebra", "heron", "otter", "tapir", "camel")):
        write(folder / f"{animal}.md", f"# The {animal}\n\nA {animal} eats {number} things.\n")
    remote.project("zoo", folder)
    remote.all("zoo")
    remote.live()
    return remote


def test_a_better_model_is_seen_to_be_better(
    zoo: RemoteSteps, embedding_server: EmbeddingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="not known; set RAG_ASSETS_DIMENSIONS"):
        try_model(zoo.engine, zoo.settings.model_copy(update={"dimensions": None}), "openai:wide", get_space_encoder)
    monkeypatch.setenv("RAG_ASSETS_DIMENSIONS", "512")
    monkeypatch.setenv("RAG_ASSETS_PREVIOUS_EMBEDDING_URL", embedding_server.url)
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_PRICE", "openai:wide=2")
    before = state(zoo)
    sent = len(embedding_server.accepted)
    with running_embedding_server(512) as wide:
        monkeypatch.setenv("RAG_ASSETS_EMBEDDING_URL", wide.url)
        wide.misbehave(refuse("camel"))
        done = CliRunner().invoke(app, ["try", "openai:wide", "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert_shape(found, TRIAL)
        assert (found["texts"], found["refused"], found["queries"], found["queries_made"]) == (5, 1, 5, True)
        assert found["tried"]["ndcg@10"] == 1.0
        assert found["live"]["ndcg@10"] <= 1.0
        assert found["sample"]["cost"] == pytest.approx(found["sample"]["tokens"] * 2 / 1e6)
        assert found["all"]["texts"] == 6
        # Of the live space only queries are asked.
        assert len(embedding_server.accepted) - sent == 5

        questions = write(
            tmp_path / "questions.jsonl",
            "\n".join(
                json.dumps({"query": f"what eats the {animal}", "relevant": {f"{animal}.md": 1}})
                for animal in ("zebra", "heron")
            ),
        )
        zoo.project("zoo", folder_of(zoo), questions=str(questions))
        done = CliRunner().invoke(app, ["try", "openai:wide", "--sample", "4"])
        assert done.exit_code == 0, done.output
        assert "2 queries of the projects" in done.output
        monkeypatch.setenv("RAG_ASSETS_BUDGET_RUN", "0.000001")
        with pytest.raises(UsageError, match=r"more than RAG_ASSETS_BUDGET_RUN=1e-06; take a smaller --sample"):
            try_model(zoo.engine, load_settings(), "openai:wide", get_space_encoder)
    assert state(zoo) == before


def folder_of(steps: RemoteSteps) -> str:
    [(uri,)] = rows(steps.engine, "SELECT source_uri FROM rag.projects")
    return str(uri)


def test_without_a_live_space_there_is_nothing_to_compare_with(remote: RemoteSteps) -> None:
    with pytest.raises(ServiceError, match="no space is live"):
        try_model(remote.engine, remote.settings, "openai:nobody-knows", get_space_encoder)

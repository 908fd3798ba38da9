"""Fixtures of the tests that launch runs."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.embedding_server.behaviours import delay
from tests.support.embedding_server.server import EmbeddingServer
from tests.support.pipeline.runs import add_project
from tests.support.pipeline.stages import write


@pytest.fixture
def slow_model(fast_model: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> EmbeddingServer:
    """A model that takes half a second for 20 texts, until its `behaviours` are cleared, and no processor time."""
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_REQUEST_TEXTS", "20")
    monkeypatch.setenv("RAG_ASSETS_EMBEDDING_CONCURRENCY", "1")
    fast_model.misbehave(delay(0.5))
    return fast_model


@pytest.fixture
def two_projects(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    """An installation with two projects, each with one document."""
    for name in ("alpha", "zoo"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(engine, name, tmp_path / name)
    return engine

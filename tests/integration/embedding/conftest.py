"""A project whose vectors come from an embedding server on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.encoder import Encoder, get_space_encoder
from rag_assets.settings.settings import Settings, load_settings
from tests.support.embedding_server.server import EmbeddingServer, running_embedding_server
from tests.support.pipeline.stages import Steps

KEY = "sk-secret-5f3a"


class RemoteSteps(Steps):
    """Steps with the encoder that the settings name."""

    def encoder(self, space: EmbeddingSpace) -> Encoder:  # type: ignore[override]
        return get_space_encoder(space, load_settings())


@pytest.fixture
def embedding_server() -> Iterator[EmbeddingServer]:
    with running_embedding_server() as server:
        yield server


@pytest.fixture
def remote(
    settings: Settings, engine: Engine, embedding_server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> RemoteSteps:
    more = {"RAG_ASSETS_EMBEDDING_API_KEY": KEY, "RAG_ASSETS_EMBEDDING_RETRY_S": "1"}
    for name, value in (embedding_server.settings | more).items():
        monkeypatch.setenv(name, value)
    return RemoteSteps(engine, load_settings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder

"""An embedding server on loopback, and encoders that ask it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rag_assets.embedding.remote.encoder import RemoteEncoder
from rag_assets.embedding.remote.endpoint import resolve_endpoint
from rag_assets.embedding.remote.names import split_name
from rag_assets.settings.settings import Settings
from tests.support.embedding_server.server import EmbeddingServer, running_embedding_server

MakeEncoder = Callable[..., RemoteEncoder]
KEY = "sk-secret-5f3a"


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with running_embedding_server() as server:
        yield server


@pytest.fixture
def make_encoder(server: EmbeddingServer) -> MakeEncoder:
    """An encoder with these settings; it waits only as long as it is told to, and gives up soon."""

    def make(
        name: str = "openai:some-model", *, prompts: dict[str, str] | None = None, **settings: Any
    ) -> RemoteEncoder:
        own: dict[str, Any] = {"embedding_url": server.url, "embedding_api_key": KEY, "embedding_retry_s": 5} | settings
        endpoint = resolve_endpoint(split_name(name)[0], Settings(**own))
        return RemoteEncoder(name, endpoint, dimensions=server.dimensions, prompts=prompts or {})

    return make


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that no server asked for are short."""
    monkeypatch.setattr("rag_assets.embedding.remote.client._FIRST_PAUSE_S", 0.01)

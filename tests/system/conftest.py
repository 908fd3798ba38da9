"""Settings of the processes that tests start: a model that needs no time, and a limit that a busy machine keeps."""

from collections.abc import Iterator

import pytest

from tests.support.embedding_server.server import EmbeddingServer, running_embedding_server
from tests.support.fakes import DIMENSIONS
from tests.support.installation.installations import PATIENT_LIMIT_MS


@pytest.fixture(autouse=True)
def _patient_latency_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """For installations that `install` does not make."""
    monkeypatch.setenv("RAG_ASSETS_LATENCY_LIMIT_MS", PATIENT_LIMIT_MS)


@pytest.fixture
def fast_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """Let the processes of this test ask a server for vectors, where the model is not the point.

    The real model takes seconds to load in each process, and a second for twenty texts.
    """
    with running_embedding_server(DIMENSIONS) as server:
        for name, value in server.settings.items():
            monkeypatch.setenv(name, value)
        yield server

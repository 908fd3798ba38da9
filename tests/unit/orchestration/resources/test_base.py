"""The settings of a resource: those of its pipeline, or of the environment."""

import pytest

from rag_assets import Settings
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.orchestration.resources.postgres import Postgres

DOCS, NOTES = Settings(chunk_tokens=50), Settings(chunk_tokens=60)


class StatefulEmbedder(Embedder):
    """A custom embedder with state that its copies must share."""

    _loaded: list[int]

    def model_post_init(self, _: object) -> None:
        self._loaded = [1]


def test_a_resource_without_a_pipeline_uses_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = Postgres()
    monkeypatch.setenv("RAG_ASSETS_CHUNK_TOKENS", "99")
    assert postgres.settings.chunk_tokens == 99
    assert postgres.with_settings(DOCS).settings is DOCS


def test_a_resource_shared_by_two_pipelines_uses_the_settings_of_each() -> None:
    shared = StatefulEmbedder()  # type: ignore[call-arg]
    docs = shared.with_settings(DOCS)
    notes = docs.with_settings(NOTES)
    assert (docs.settings, notes.settings) == (DOCS, NOTES)
    assert docs.with_settings(DOCS) is docs is shared
    assert docs._loaded is notes._loaded

"""A new space reuses stored vectors exactly where the model would produce the same ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from rag_assets.pipeline.audit import latency
from rag_assets.pipeline.estimate import estimate_cost
from rag_assets.settings.settings import load_settings
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import Steps, write

STORED = (
    "SELECT c.chunk_text, e.embedding::text FROM rag.embeddings_2 e JOIN rag.document_chunks c USING (content_hash)"
)
TEXTS = {"Zebras eat grass.", "Whales eat krill.", "Lions eat zebras."}


@pytest.fixture
def zoo(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(latency, "MEASURED_VECTORS", 50)
    for number, content in enumerate(sorted(TEXTS)):
        write(tmp_path / "zoo" / f"{number}.txt", content)
    steps.project("zoo", tmp_path / "zoo")
    return tmp_path / "zoo"


def ingest(steps: Steps, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> tuple[int, int]:
    """Ingest with these settings; returns the estimated and the actual number of embedded texts."""
    with monkeypatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(f"RAG_ASSETS_{name}", value)
        steps.settings = load_settings()
        steps.documents("zoo")
        steps.chunks("zoo")
        planned = estimate_cost(steps.engine, steps.settings).texts_to_embed
        figures = steps.all("zoo")
        assert steps.live()["dagster/row_count"] == len(TEXTS)
    return planned, figures["embedded"]


@pytest.mark.parametrize(
    ("before", "after", "embedded"),
    [
        ({}, {"DIMENSIONS": "96"}, 0),
        ({"NORMALIZE": "false"}, {"DIMENSIONS": "96", "NORMALIZE": "false"}, 0),
        ({"NORMALIZE": "false"}, {"NORMALIZE": "true"}, 0),
        ({}, {"QUERY_PROMPT": "question: "}, 0),
        ({}, {"DISTANCE": "l2"}, 0),
        ({}, {"INDEX_PARTS": "3"}, 0),
        ({}, {"DOCUMENT_PROMPT": "passage: "}, 3),
        ({"DIMENSIONS": "96"}, {}, 3),
        ({}, {"NORMALIZE": "false"}, 3),
    ],
    ids=lambda settings: "-".join(settings) or "default" if isinstance(settings, dict) else str(settings),
)
def test_vectors_are_reused_if_the_model_would_produce_the_same(
    steps: Steps,
    zoo: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, str],
    after: dict[str, str],
    embedded: int,
) -> None:
    assert ingest(steps, monkeypatch, before) == (3, 3)
    assert ingest(steps, monkeypatch, after) == (embedded, embedded)


def test_truncated_vectors_equal_those_that_the_model_produces(
    steps: Steps, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(steps, monkeypatch, {})
    assert ingest(steps, monkeypatch, {"DIMENSIONS": "96"}) == (0, 0)
    found = dict(rows(steps.engine, STORED))
    assert found.keys() == TEXTS
    model = HashEncoder(96)
    for text, vector in found.items():
        assert np.allclose(json.loads(vector), model.encode([text])[0], atol=1e-6)

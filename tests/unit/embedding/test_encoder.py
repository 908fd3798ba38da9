"""Encoders, without loading a model."""

import gc

import pytest

from rag_assets.embedding import encoder
from rag_assets.embedding.batches import token_batches
from rag_assets.embedding.encoder import SentenceTransformerEncoder
from rag_assets.embedding.model import find_model


@pytest.mark.parametrize(
    ("counts", "budget", "batches"),
    [
        ([], 10, []),
        ([50], 10, [(0, 1)]),
        ([5, 5, 5, 5], 10, [(0, 2), (2, 4)]),
        ([9, 3, 3, 3], 10, [(0, 1), (1, 4)]),
        ([1] * 25, 10, [(0, 10), (10, 20), (20, 25)]),
        ([3, 9], 10, [(0, 1), (1, 2)]),
    ],
)
def test_padded_batches_fit_the_token_budget(counts: list[int], budget: int, batches: list[tuple[int, int]]) -> None:
    assert [(batch.start, batch.stop) for batch in token_batches(counts, budget)] == batches


def test_the_encoder_loads_the_model_at_the_first_text() -> None:
    encoder = SentenceTransformerEncoder(find_model("sentence-transformers/all-MiniLM-L6-v2"))
    assert not encoder.loaded
    assert encoder.dimensions == 384


def test_a_loaded_model_is_left_out_of_garbage_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [[number] for number in range(10_000)]
    monkeypatch.setattr(encoder, "_load", lambda model, device: parts)
    made = SentenceTransformerEncoder(find_model("sentence-transformers/all-MiniLM-L6-v2"))
    gc.unfreeze()
    assert made.load() is made.load() is parts
    assert gc.get_freeze_count() > len(parts)
    gc.unfreeze()

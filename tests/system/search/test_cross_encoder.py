"""A real cross-encoder, saved by transformers and loaded by sentence-transformers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rag_assets.embedding.model import find_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.ranking.rerank import CrossEncoderReranker, rerank

QUERY = "Who feeds the whale?"
TEXTS = [f"The keeper feeds {number} zebras. " + "And so on. " * (number % 7) for number in range(80)]


def test_an_embedding_model_is_refused() -> None:
    folder = find_model("sentence-transformers/all-MiniLM-L6-v2").path
    with pytest.raises(UsageError, match=r"is no cross-encoder \(its architecture is BertModel\)"):
        CrossEncoderReranker(str(folder)).score("q", ["a"])


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved cross-encoder: one layer, fixed weights, the tokenizer of a real model."""
    return make_cross_encoder(tmp_path_factory.mktemp("cross") / "model", labels=1)


def make_cross_encoder(folder: Path, *, labels: int) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = BertConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            num_labels=labels,
            # Weights large enough for scores that differ.
            initializer_range=0.5,
        )
        BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(find_model("sentence-transformers/all-MiniLM-L6-v2").path).save_pretrained(folder)
    return folder


def test_scores_equal_those_of_sentence_transformers_and_are_reproducible(cross_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder

    reranker = CrossEncoderReranker(str(cross_encoder), device="cpu")
    assert not reranker.loaded
    found = reranker.score(QUERY, TEXTS)
    assert reranker.loaded
    model = CrossEncoder(str(cross_encoder), device="cpu", local_files_only=True)
    # One by one: scores do not depend on the other texts of a batch.
    expected = [float(model.predict((QUERY, text), show_progress_bar=False)) for text in TEXTS]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(found) - min(found) > 0.1
    assert reranker.score(QUERY, TEXTS) == found
    assert reranker.score(QUERY, ["a very long text " * 5_000, "", "🦓 \0 \u2028"])
    assert reranker.score(QUERY, []) == []


def test_candidates_are_reranked_by_a_cross_encoder(cross_encoder: Path) -> None:
    reranker = CrossEncoderReranker(str(cross_encoder), device="cpu")
    scores = dict(zip(TEXTS, reranker.score(QUERY, TEXTS), strict=True))
    candidates = [*TEXTS[:40], TEXTS[3]]
    found = rerank(reranker, QUERY, candidates, text_of=str, limit=50)
    assert [text for _, text in found] == sorted(candidates, key=lambda text: -scores[text])
    places = [place for place, (_, text) in enumerate(found) if text == TEXTS[3]]
    assert places[1] == places[0] + 1


def test_a_model_with_several_scores_or_broken_files_is_refused(cross_encoder: Path, tmp_path: Path) -> None:
    several = make_cross_encoder(tmp_path / "several", labels=3)
    with pytest.raises(UsageError, match="gives 3 scores for a pair, not one"):
        CrossEncoderReranker(str(several)).score("q", ["a"])
    broken = tmp_path / "broken"
    shutil.copytree(cross_encoder, broken)
    (broken / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(ServiceError, match=r"the reranker .* cannot be loaded: .*set RAG_ASSETS_RERANKER"):
        CrossEncoderReranker(str(broken)).score("q", ["a"])
    for config in ("{", json.dumps([])):
        (broken / "config.json").write_text(config)
        with pytest.raises(ServiceError, match="cannot be loaded"):
            CrossEncoderReranker(str(broken)).score("q", ["a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServiceError, match="cannot be loaded"):
        CrossEncoderReranker(str(tmp_path / "empty")).score("q", ["a"])

"""Reranking: order, ties and errors with fake rerankers, and a real cross-encoder with fixed weights."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_assets.embedding.model import find_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.ranking.rerank import CrossEncoderReranker, get_reranker, rerank, reranker_from_settings
from rag_assets.settings.settings import Settings

QUERY = "Who feeds the whale?"
TEXTS = [f"The keeper feeds {number} zebras. " + "And so on. " * (number % 7) for number in range(80)]


class ByLength:
    """Scores texts by their length, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.calls.append((query, list(texts)))
        return [len(text) for text in texts]


class FixedScores:
    def __init__(self, scores: Sequence[Any]) -> None:
        self.scores = scores

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return self.scores


def test_candidates_are_sorted_by_their_new_score_and_ties_keep_their_order() -> None:
    reranker = ByLength()
    rows = [(1, "bb"), (2, "a"), (3, "ccc"), (4, "dd"), (5, "bb")]
    found = rerank(reranker, "q", rows, text_of=lambda row: row[1], limit=50)
    assert found == [(3, (3, "ccc")), (2, (1, "bb")), (2, (4, "dd")), (2, (5, "bb")), (1, (2, "a"))]
    # The repeated text was scored once.
    assert reranker.calls == [("q", ["bb", "a", "ccc", "dd"])]


def test_candidates_beyond_the_limit_follow_in_their_order() -> None:
    found = rerank(ByLength(), "q", ["a", "bb", "dddd", "ccc"], text_of=str, limit=2)
    assert found == [(2, "bb"), (1, "a"), (None, "dddd"), (None, "ccc")]


def test_without_candidates_the_reranker_is_not_called() -> None:
    reranker = ByLength()
    assert rerank(reranker, "q", list[str](), text_of=str, limit=5) == []
    assert reranker.calls == []


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0], "returned 1 scores for 2 texts"),
        ([1.0, float("nan")], "returned the score nan"),
        ([1, float("-inf")], "-inf"),
        (None, "returned None; it must return one finite number for each text"),
        (["good", "bad"], "returned \\['good', 'bad'\\]; it must return"),
    ],
)
def test_a_reranker_that_does_not_score_each_text_is_refused(scores: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rerank(FixedScores(scores), "q", ["a", "b"], text_of=str, limit=5)


def test_without_a_reranker_the_error_names_the_setting() -> None:
    with pytest.raises(UsageError, match="set RAG_ASSETS_RERANKER to a cross-encoder"):
        reranker_from_settings(Settings(_env_file=None))


def test_the_reranker_of_the_settings_is_shared_and_loaded_on_use() -> None:
    settings = Settings(_env_file=None, reranker="some/model", reranker_revision="abc", device="cpu")
    found = reranker_from_settings(settings)
    assert found is get_reranker("some/model", "abc", device="cpu")
    assert isinstance(found, CrossEncoderReranker)
    assert not found.loaded


def test_a_missing_model_raises_the_same_error_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reranker = CrossEncoderReranker("some-nowhere/cross-encoder")
    for _ in range(2):
        with pytest.raises(
            ServiceError, match=r"cannot load the model 'some-nowhere/cross-encoder': .*RAG_ASSETS_RERANKER"
        ):
            reranker.score("q", ["a"])
    with pytest.raises(ServiceError, match="neither a folder nor the name of a model on the hub"):
        CrossEncoderReranker("no such/folder/anywhere").score("q", ["a"])


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

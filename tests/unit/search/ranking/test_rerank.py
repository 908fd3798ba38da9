"""Reranking: order, ties and errors with fake rerankers, and a real cross-encoder with fixed weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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

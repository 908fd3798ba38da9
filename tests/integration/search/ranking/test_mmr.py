"""Maximal marginal relevance: compared with a direct implementation of the formula, and on stored vectors."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import UsageError
from rag_assets.search.ranking.mmr import diversify, fetch_chunk_vectors, mmr
from tests.support.database.rows import unit_vectors
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

SHARED = "The keeper feeds the whale every morning before the storm."


def reference_mmr(scores: Sequence[float], vectors: NDArray[Any], k: int, balance: float) -> list[int]:
    """The paper's formula, one candidate at a time."""
    relevance = [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]

    def cosine(one: int, other: int) -> float:
        product = float(np.dot(vectors[one], vectors[other]))
        return product / float(np.linalg.norm(vectors[one]) * np.linalg.norm(vectors[other]))

    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        gains = {
            index: balance * relevance[index]
            - (1 - balance) * (max(cosine(index, other) for other in chosen) if chosen else 0)
            for index in range(len(scores))
            if index not in chosen
        }
        chosen.append(max(gains, key=lambda index: gains[index]))
    return chosen


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("scale", [1.0, 0.001, 40.0])
def test_the_order_follows_the_formula_at_any_scale_of_scores(balance: float, scale: float) -> None:
    # Vectors of different lengths: those of a space that does not normalize are compared by their angle, too.
    vectors = (unit_vectors(30, 4, seed=3) * np.linspace(0.5, 9, 30)[:, None]).astype(np.float32)
    scores = sorted(np.random.default_rng(5).random(30).tolist(), reverse=True)
    found = mmr([scale * score - 3 for score in scores], list(vectors), list(range(30)), k=12, balance=balance)
    assert found == reference_mmr(scores, vectors, 12, balance)


def test_the_balance_ranges_from_the_given_order_to_differences_alone() -> None:
    vectors = [np.array(v, dtype=np.float32) for v in ([1, 0], [1, 0.05], [0.9, 0.1], [0, 1])]
    scores, texts = [0.9, 0.8, 0.7, 0.1], ["a", "b", "c", "d"]
    assert mmr(scores, vectors, texts, k=4, balance=1) == [0, 1, 2, 3]
    assert mmr(scores, vectors, texts, k=2, balance=0.95) == [0, 1]
    assert mmr(scores, vectors, texts, k=2, balance=0.3) == [0, 3]
    assert mmr(scores, vectors, texts, k=2, balance=0) == [0, 3]


def test_a_repeated_text_comes_after_all_others() -> None:
    same = np.array([1, 0, 0], dtype=np.float32)
    vectors = [same, same, np.array([0.99, 0.1, 0], dtype=np.float32), same, np.array([0, 1, 0], dtype=np.float32)]
    texts = ["x", "x", "y", "x", "z"]
    found = mmr([5, 5, 4, 3, 1], vectors, texts, k=5, balance=0.9)
    assert sorted(found[:3]) == [0, 2, 4]
    assert found[3:] == [1, 3]


def test_ties_keep_their_order_and_a_missing_vector_is_similar_to_none() -> None:
    vector = np.array([0.6, 0.8], dtype=np.float32)
    assert mmr([1, 1, 1, 1], [vector] * 4, list("abcd"), k=3, balance=0.5) == [0, 1, 2]
    assert mmr([1, 0.9, 0.8], [vector, vector, None], list("abc"), k=2, balance=0.5) == [0, 2]
    assert mmr([1, 0.5], [None, None], list("ab"), k=5, balance=0.5) == [0, 1]
    zero = np.zeros(2, dtype=np.float32)
    assert mmr([1, 0.9, 0.8], [vector, zero, vector], list("abc"), k=3, balance=0.5) == [0, 1, 2]
    assert mmr([], [], [], k=3, balance=0.5) == []


@pytest.mark.parametrize("balance", [-0.1, 1.01, float("nan")])
def test_an_invalid_balance_is_refused(balance: float) -> None:
    with pytest.raises(UsageError, match="; choose 0"):
        mmr([1], [None], ["a"], k=1, balance=balance)


@pytest.fixture
def space(built: Engine) -> EmbeddingSpace:
    with built.connect() as connection:
        found = get_live_space(connection)
    assert found is not None
    return found


def test_vectors_are_read_as_they_are_stored(built: Engine, space: EmbeddingSpace) -> None:
    expected = rows(
        built,
        "SELECT c.id, c.content_hash, e.embedding::text FROM rag.document_chunks c "
        "JOIN rag.embeddings e ON e.content_hash = c.content_hash",
    )
    with built.connect() as connection:
        found = fetch_chunk_vectors(connection, space, [id_ for id_, _, _ in expected] + [uuid4()])
    assert found.keys() == {id_ for id_, _, _ in expected}
    for id_, hash_, written in expected:
        assert found[id_][0] == hash_
        np.testing.assert_allclose(found[id_][1], np.array(written[1:-1].split(","), dtype=np.float32), rtol=1e-6)


def test_candidates_of_a_search_are_diversified_by_their_stored_vectors(built: Engine, space: EmbeddingSpace) -> None:
    copies = [
        id_
        for (id_,) in rows(
            built, "SELECT id FROM rag.document_chunks WHERE chunk_text = :text ORDER BY id", text=SHARED
        )
    ]
    others = [
        id_
        for (id_,) in rows(
            built, "SELECT id FROM rag.document_chunks WHERE chunk_text <> :text ORDER BY id LIMIT 4", text=SHARED
        )
    ]
    assert len(copies) == 3
    candidates = [(1 - index / 10, id_) for index, id_ in enumerate([*copies, *others])]

    def chosen(k: int, balance: float) -> list[tuple[float, UUID]]:
        with built.connect() as connection:
            return diversify(connection, space, candidates, k=k, balance=balance, chunk_id=lambda id_: id_)

    assert chosen(3, 1) == candidates[:3]
    best = chosen(7, 0.7)
    assert best[0] == candidates[0]
    assert {id_ for _, id_ in best[1:5]} == set(others)
    assert best[5:] == candidates[1:3]
    # A candidate without a vector takes part, too.
    change_database(
        built,
        "DELETE FROM rag.embeddings WHERE content_hash = (SELECT content_hash FROM rag.document_chunks WHERE id = :id)",
        id=others[0],
    )
    assert {id_ for _, id_ in chosen(5, 0.7)} == {copies[0], *others}

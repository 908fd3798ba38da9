"""Reciprocal rank fusion, compared with results computed by hand."""

from typing import Any

import pytest

from rag_assets.search.ranking.fusion import reciprocal_rank_fusion


def fuse(*rankings: str, **options: Any) -> list[tuple[Any, str]]:
    """Scores are Any, to compare them with pytest.approx."""
    return list(reciprocal_rank_fusion(rankings, str, **options))


def test_ranks_of_all_rankings_add_up() -> None:
    assert fuse("abc", "cd", constant=1) == [
        (pytest.approx(1 / 4 + 1 / 2), "c"),
        (pytest.approx(1 / 2), "a"),
        (pytest.approx(1 / 3), "b"),
        (pytest.approx(1 / 3), "d"),
    ]


def test_a_weight_of_zero_leaves_the_order_to_the_other_ranking() -> None:
    assert "".join(row for _, row in fuse("ba", "ab", weights=[0.0, 1.0])) == "ab"


def test_one_ranking_keeps_its_order() -> None:
    assert "".join(row for _, row in fuse("xyz", "")) == "xyz"


def test_a_first_rank_in_one_ranking_beats_middle_ranks_in_both_but_not_second_ranks() -> None:
    vector, keyword = "xbpqrstuvm", "ybPQRSTUVm"
    assert [row for _, row in fuse(vector, keyword)][:4] == ["b", "x", "y", "m"]
    # With the paper's constant, only being in both rankings matters.
    assert [row for _, row in fuse(vector, keyword, constant=60)][:3] == ["b", "m", "x"]


def test_rows_with_the_same_score_share_their_ranks() -> None:
    assert fuse("Aabc", "", constant=1, score=lambda row: ord(row.lower())) == [
        (pytest.approx(1 / 2.5), "A"),
        (pytest.approx(1 / 2.5), "a"),
        (pytest.approx(1 / 4), "b"),
        (pytest.approx(1 / 5), "c"),
    ]

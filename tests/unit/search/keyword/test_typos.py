"""The number of typos between two words, and what it costs to count them."""

import time

import pytest

from rag_assets.search.keyword.correction import count_typos


@pytest.mark.parametrize(
    ("one", "other", "most", "typos"),
    [
        ("harbour", "harbour", 2, 0),
        ("harbour", "harbor", 2, 1),
        ("harbour", "hrabour", 2, 1),
        ("harbour", "jarbor", 2, 2),
        ("harbour", "lantern", 2, 3),
        ("étude", "etude", 1, 1),
        ("ab", "abcde", 2, 3),
    ],
)
def test_typos_are_counted_until_there_are_too_many(one: str, other: str, most: int, typos: int) -> None:
    assert count_typos(one, other, most) == count_typos(other, one, most) == typos


def test_thousands_of_words_are_compared_in_a_moment() -> None:
    # As many as one search may compare, during which no other thread runs: 1 ms, and 40 in pure Python.
    words = [f"word{number:05}" for number in range(5_000)]
    began = time.process_time()
    assert all(count_typos("harbour", word, 2) == 3 for word in words)
    assert time.process_time() - began < 0.02

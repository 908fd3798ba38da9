"""The repr of answers and hits: one short line without the texts."""

from uuid import UUID

from rag_assets.search.results import Answer, Degraded, Hit

HIT = Hit(
    1,
    0.8312345,
    "zoo",
    "page\n05.md",
    None,
    UUID(int=7),
    2,
    ["Whales"],
    10,
    250,
    "secret " * 1_000,
    UUID(int=8),
    "md",
    None,
)


def test_the_repr_of_a_hit_has_rank_score_and_offsets() -> None:
    assert repr(HIT) == r"<Hit 1: 'zoo/page\n05.md[10:250]', score 0.8312>"


def test_the_repr_of_an_answer_has_the_number_of_hits_and_the_mode() -> None:
    answer = Answer("secret", "hybrid", 3, [HIT], 3.25, 0.0, 0.0, "index, words", 90, 40)
    assert repr(answer) == "<Answer: 1 hit, hybrid (index, words), 3.25 ms>"
    degraded = Answer("secret", "vector", 3, [], 3.0, 0.0, 0.0, "index", 90, 40, Degraded(texts=9, missing=1))
    assert repr(degraded) == "<Answer: 0 hits, vector (index), 3 ms, degraded>"

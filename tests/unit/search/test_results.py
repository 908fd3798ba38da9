"""How answers and hits are shown: short, on one line, without their texts."""

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


def test_a_hit_shows_its_rank_score_and_place() -> None:
    assert repr(HIT) == r"<Hit 1: 'zoo/page\n05.md[10:250]', score 0.8312>"


def test_an_answer_shows_how_many_hits_were_found_and_how() -> None:
    answer = Answer("secret", "hybrid", 3, [HIT], 3.25, 0.0, 0.0, "index, words", 90, 40)
    assert repr(answer) == "<Answer: 1 hit, hybrid (index, words), 3.25 ms>"
    degraded = Answer("secret", "vector", 3, [], 3.0, 0.0, 0.0, "index", 90, 40, Degraded(texts=9, missing=1))
    assert repr(degraded) == "<Answer: 0 hits, vector (index), 3 ms, degraded>"

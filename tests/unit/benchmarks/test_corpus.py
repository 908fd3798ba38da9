"""The corpus of the benchmarks, and their measure of recall."""

from tests.benchmarks.clustered import Corpus
from tests.benchmarks.filtering import recall


def test_the_corpus_is_reproducible_and_its_queries_are_held_out() -> None:
    first, second = (Corpus(400) for _ in range(2))
    [one], [other] = first.blocks(), second.blocks()
    assert one.texts == other.texts
    assert (one.vectors == other.vectors).all()
    assert len(set(one.texts)) == 400
    assert abs((one.vectors**2).sum(axis=1) - 1).max() < 1e-5
    queries = first.questions(50)
    assert (queries.vectors @ one.vectors.T).max() < 0.999


def test_recall_counts_results_as_near_as_the_farthest_expected_one() -> None:
    assert recall([[0.1, 0.2], [0.1, 0.4]], [[0.1, 0.2], [0.1, 0.3]]) == 0.75
    # The first query found nothing of two; for the second nothing qualifies.
    assert recall([[], []], [[0.1, 0.2], []]) == 0

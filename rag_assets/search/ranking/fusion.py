"""Merge several rankings into one."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

Row = TypeVar("Row")

# The larger, the less the first ranks stand out. The paper below uses 60, for many rankings of equal quality. For two
# different rankings, a keyword match at rank 1 says more than two middle ranks (docs/pages/explanation/tuning.md).
RRF_CONSTANT = 5


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Row]],
    key: Callable[[Row], Hashable],
    *,
    score: Callable[[Row], float] | None = None,
    weights: Sequence[float] | None = None,
    constant: float = RRF_CONSTANT,
) -> list[tuple[float, Row]]:
    """(score, row), best first. The score is the sum over the rankings of weight / (constant + rank).

    Rows with the same `score` in a ranking share the mean of their ranks.

    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods" (SIGIR 2009).
    """
    scores: dict[Hashable, float] = {}
    rows: dict[Hashable, Row] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, row in zip(_ranks(ranking, score), ranking, strict=True):
            scores[key(row)] = scores.get(key(row), 0.0) + weight / (constant + rank)
            rows.setdefault(key(row), row)
    return sorted(((score, rows[found]) for found, score in scores.items()), key=lambda pair: -pair[0])


def _ranks(ranking: Sequence[Row], score: Callable[[Row], float] | None) -> Iterable[float]:
    if score is None:
        return range(1, len(ranking) + 1)
    ranks: list[float] = []
    for _, tied in groupby(ranking, score):
        count = sum(1 for _ in tied)
        ranks += [len(ranks) + (count + 1) / 2] * count
    return ranks

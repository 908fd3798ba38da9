"""Merge several rankings into one."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Row = TypeVar("Row")

# The larger, the less the first ranks stand out. The paper below uses 60, for many rankings of equal quality. For two
# different rankings, a keyword match at rank 1 says more than two middle ranks (docs/pages/explanation/tuning.md).
RRF_CONSTANT = 5


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Row]],
    key: Callable[[Row], Hashable],
    *,
    weights: Sequence[float] | None = None,
    constant: float = RRF_CONSTANT,
) -> list[tuple[float, Row]]:
    """(score, row), best first. The score is the sum over the rankings of weight / (constant + rank).

    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods" (SIGIR 2009).
    """
    scores: dict[Hashable, float] = {}
    rows: dict[Hashable, Row] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, row in enumerate(ranking, start=1):
            scores[key(row)] = scores.get(key(row), 0.0) + weight / (constant + rank)
            rows.setdefault(key(row), row)
    return sorted(((score, rows[found]) for found, score in scores.items()), key=lambda pair: -pair[0])

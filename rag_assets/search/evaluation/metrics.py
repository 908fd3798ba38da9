"""Metrics of rankings against judgements, and percentiles of times."""

import math
from collections.abc import Callable, Mapping, Sequence

# Metrics cover the ten hits of a page, and recall also the best hundred documents.
PAGE_SIZE = 10
RECALL_DEPTH = 100


def compute_metrics(judged: Sequence[Mapping[str, int]], found: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """The metrics of each query; zeros for a query without results."""
    from ir_measures import RR, R, Success, evaluator, nDCG

    names = {
        nDCG @ PAGE_SIZE: f"ndcg@{PAGE_SIZE}",
        R @ PAGE_SIZE: f"recall@{PAGE_SIZE}",
        R @ RECALL_DEPTH: f"recall@{RECALL_DEPTH}",
        RR @ PAGE_SIZE: f"mrr@{PAGE_SIZE}",
        Success @ PAGE_SIZE: f"hit_rate@{PAGE_SIZE}",
    }
    qrels, run = {}, {}
    for query, (grades, ranking) in enumerate(zip(judged, found, strict=True)):
        # Numbers instead of names, which may contain characters that C strings cannot; ranks instead of scores, which
        # trec_eval would round to 32 bits, and then sort equal ones by name.
        ids: dict[str, str] = {}
        number = _numbering(ids)
        qrels[str(query)] = {number(name): grade for name, grade in grades.items()}
        run[str(query)] = {number(name): -float(rank) for rank, name in enumerate(ranking)}
    figures = [dict.fromkeys(names.values(), 0.0) for _ in judged]
    if judged:
        for figure in evaluator(list(names), qrels).iter_calc(run):
            figures[int(figure.query_id)][names[figure.measure]] = float(figure.value)
    return figures


def _numbering(ids: dict[str, str]) -> Callable[[str], str]:
    return lambda name: ids.setdefault(name, str(len(ids)))


def mean_metrics(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric, with 4 digits; empty without queries."""
    return {name: round(sum(one[name] for one in metrics) / len(metrics), 4) for name in (metrics or [{}])[0]}


def percentiles(times_ms: Sequence[float], prefix: str = "") -> dict[str, float]:
    """p50 and p95 by nearest rank, in milliseconds; empty without times."""
    ordered = sorted(times_ms)
    return {
        f"{prefix}p{share}": round(ordered[math.ceil(len(ordered) * share / 100) - 1], 2)
        for share in ((50, 95) if ordered else ())
    }

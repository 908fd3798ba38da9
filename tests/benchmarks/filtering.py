"""Filtered searches and searches of one project: rows, recall and times, against what a script can do."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Engine, func, select

from rag_assets.db.models import EmbeddingSpace, Project
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from tests.benchmarks.bare import ALONG_GRAPH, connected, filter_values, filtered, graph_settings
from tests.benchmarks.timing import latencies

K = 10


def by_share(
    engine: Engine,
    retriever: Retriever,
    space: EmbeddingSpace,
    vectors: Sequence[Any],
    metadata: Mapping[str, Any],
    rounds: int,
) -> dict[str, Any]:
    """Ours, comparing all that qualify, and the graph's iterative scan, in turn: times, recall, the fewest rows.

    One round of all three, since the worst takes up to a second a question; then `rounds` of ours and of the better of
    the others, whose medians are what is compared.
    """
    values = [filter_values(vector, metadata) for vector in vectors]
    exactly, by_graph = (filtered(space, by_graph=by_graph) for by_graph in (False, True))
    answers: dict[int, Answer] = {}
    best: dict[int, list[float]] = {}
    walked: dict[int, list[float]] = {}

    def ours(number: int) -> None:
        answers[number] = retriever.search(vectors[number], k=K, metadata=metadata)

    with ExitStack() as stack:
        comparing = stack.enter_context(connected(engine.url, {"jit": "off"}))
        walking = stack.enter_context(connected(engine.url, graph_settings(space) | ALONG_GRAPH))

        def exact(number: int) -> None:
            best[number] = [row[0] for row in comparing.execute(exactly, values[number], prepare=True)]

        def iterative(number: int) -> None:
            walked[number] = [row[0] for row in walking.execute(by_graph, values[number], prepare=True)]

        ways = {"ours": ours, "exact": exact, "iterative": iterative}
        times = latencies(ways, len(values), 1)
        better = min(("exact", "iterative"), key=lambda way: times[way]["p95_ms"])
        times |= latencies({way: ways[way] for way in ("ours", better)}, len(values), rounds)
    return {
        **times["ours"],
        "rows": min(len(answer.hits) for answer in answers.values()),
        "qualifying": min(map(len, best.values())),
        "recall": recall([distances(answers[number]) for number in best], list(best.values())),
        "plans": sorted({answer.plan for answer in answers.values()}),
        "exact_p95_ms": times["exact"]["p95_ms"],
        "iterative_p95_ms": times["iterative"]["p95_ms"],
        "iterative_recall": recall([walked[number] for number in best], list(best.values())),
        "ratio_to_better": round(times["ours"]["p95_ms"] / times[better]["p95_ms"], 3),
        "better": better,
        "better_p50_ms": times[better]["p50_ms"],
    }


def by_project(engine: Engine, retriever: Retriever, vectors: Sequence[Any], rounds: int) -> dict[str, Any]:
    """Each question asked of another project; exactness is held against the same search with exact=True."""
    with engine.connect() as connection:
        names = connection.scalars(select(Project.name).order_by(func.hashtext(Project.name))).all()
    of = [names[number % len(names)] for number in range(len(vectors))]
    ways = {"ours": lambda number: retriever.search(vectors[number], k=K, project=of[number])}
    times = latencies(ways, len(vectors), max(1, rounds // 2))["ours"]
    answers = [ways["ours"](number) for number in range(len(vectors))]
    best = [
        distances(retriever.search(vector, k=K, project=project, exact=True))
        for vector, project in zip(vectors, of, strict=True)
    ]
    return {
        **times,
        "projects": len(names),
        "rows": min(len(answer.hits) for answer in answers),
        "recall": recall([distances(answer) for answer in answers], best),
        "plans": sorted({answer.plan for answer in answers}),
    }


def recall(found: Sequence[Sequence[float]], best: Sequence[Sequence[float]]) -> float:
    """By distance, not by row: of two texts at one distance either is right."""
    shares = [
        sum(distance <= right[-1] + 2e-6 for distance in near[: len(right)]) / len(right)
        for near, right in zip(found, best, strict=True)
        if right
    ]
    return round(sum(shares) / max(1, len(shares)), 4)


def distances(answer: Answer) -> list[float]:
    return [1 - hit.score for hit in answer.hits]

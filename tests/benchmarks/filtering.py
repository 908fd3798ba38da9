"""Measure filtered searches and searches of one project: rows, recall and times, compared with a plain script."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Engine, func, select

from rag_assets.db.models import EmbeddingSpace, Project
from rag_assets.search.results import Answer
from rag_assets.search.retriever import Retriever
from tests.benchmarks.bare import FORCE_GRAPH_SETTINGS, connect_bare, filter_values, filtered_statement, graph_settings
from tests.benchmarks.timing import measure_latencies

K = 10


def measure_filter(
    engine: Engine,
    retriever: Retriever,
    space: EmbeddingSpace,
    vectors: Sequence[Any],
    metadata: Mapping[str, Any],
    rounds: int,
) -> dict[str, Any]:
    """Compare our search, an exact scan of the passing rows and an iterative scan of the graph.

    The first round has all three, since the slowest takes up to a second per query. Then `rounds` rounds of ours and of
    the faster of the other two follow; their medians are compared.
    """
    values = [filter_values(vector, metadata) for vector in vectors]
    exactly, by_graph = (filtered_statement(space, by_graph=by_graph) for by_graph in (False, True))
    answers: dict[int, Answer] = {}
    best: dict[int, list[float]] = {}
    walked: dict[int, list[float]] = {}

    def ours(number: int) -> None:
        answers[number] = retriever.search(vectors[number], k=K, metadata=metadata)

    with ExitStack() as stack:
        comparing = stack.enter_context(connect_bare(engine.url, {"jit": "off"}))
        walking = stack.enter_context(connect_bare(engine.url, graph_settings(space) | FORCE_GRAPH_SETTINGS))

        def exact(number: int) -> None:
            best[number] = [row[0] for row in comparing.execute(exactly, values[number], prepare=True)]

        def iterative(number: int) -> None:
            walked[number] = [row[0] for row in walking.execute(by_graph, values[number], prepare=True)]

        variants = {"ours": ours, "exact": exact, "iterative": iterative}
        times = measure_latencies(variants, len(values), 1)
        better = min(("exact", "iterative"), key=lambda variant: times[variant]["p95_ms"])
        times |= measure_latencies({variant: variants[variant] for variant in ("ours", better)}, len(values), rounds)
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


def measure_projects(engine: Engine, retriever: Retriever, vectors: Sequence[Any], rounds: int) -> dict[str, Any]:
    """Each query searches another project; recall is measured against the same search with exact=True."""
    with engine.connect() as connection:
        names = connection.scalars(select(Project.name).order_by(func.hashtext(Project.name))).all()
    project_of = [names[number % len(names)] for number in range(len(vectors))]
    variants = {"ours": lambda number: retriever.search(vectors[number], k=K, project=project_of[number])}
    times = measure_latencies(variants, len(vectors), max(1, rounds // 2))["ours"]
    answers = [variants["ours"](number) for number in range(len(vectors))]
    best = [
        distances(retriever.search(vector, k=K, project=project, exact=True))
        for vector, project in zip(vectors, project_of, strict=True)
    ]
    return {
        **times,
        "projects": len(names),
        "rows": min(len(answer.hits) for answer in answers),
        "recall": recall([distances(answer) for answer in answers], best),
        "plans": sorted({answer.plan for answer in answers}),
    }


def recall(found: Sequence[Sequence[float]], best: Sequence[Sequence[float]]) -> float:
    """Recall by distance, not by row: of two texts at the same distance either is right."""
    shares = [
        sum(distance <= right[-1] + 2e-6 for distance in near[: len(right)]) / len(right)
        for near, right in zip(found, best, strict=True)
        if right
    ]
    return round(sum(shares) / max(1, len(shares)), 4)


def distances(answer: Answer) -> list[float]:
    return [1 - hit.score for hit in answer.hits]

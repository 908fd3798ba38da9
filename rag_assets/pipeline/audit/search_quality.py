"""Checks of search quality, by the evaluation queries of the projects."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import RagAssetsError
from rag_assets.pipeline.audit.result import CheckResult
from rag_assets.pipeline.charts.markdown import table
from rag_assets.projects.settings import METRICS
from rag_assets.search.evaluation.thresholds import QualityRequirement, quality_requirements
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.evaluation.evaluate import QueryEvaluation
    from rag_assets.search.evaluation.run import EvaluationReport
    from rag_assets.search.execution.query_embedding import MakeEncoder
    from rag_assets.search.retriever import Retriever

WORST_QUERIES = 10
COMPARED_METRICS = ("ndcg@10", "recall@10")


def search_quality(engine: Engine, retriever: "Callable[[], Retriever]", project: str | None = None) -> CheckResult:
    """The metrics of each project that has evaluation queries, or of one project, against its thresholds."""
    with engine.connect() as connection:
        wanted = quality_requirements(connection, project)
    if not wanted:
        return CheckResult(True, {"questions": 0, "note": "no project has a question file"})
    from rag_assets.search.evaluation.run import run_evaluation

    metadata: dict[str, Any] = {"questions": 0}
    searcher = retriever()
    reasons: list[str] = []
    worst: list[tuple[str, ...]] = []
    for expected in wanted:
        try:
            report = run_evaluation(engine, searcher, expected.read(), project=expected.project)
        except RagAssetsError as error:
            # An unreadable question file of one project says nothing about the others.
            reasons.append(f"{expected.project}: {error}")
            continue
        found = report.evaluation
        metadata["questions"] += len(found.queries)
        metadata |= {f"{expected.project} {name}": found.metrics[name] for name in METRICS}
        metadata[f"{expected.project} judged_documents_missing"] = len(report.missing)
        metadata |= {f"{expected.project} threshold {name}": least for name, least in expected.thresholds.items()}
        reasons += _missed(expected, report)
        worst += [_row(expected.project, query) for query in found.worst(WORST_QUERIES)]
    if worst:
        metadata["worst_queries"] = table(("project", "query", "nDCG@10", "wanted", "found first"), worst)
    return CheckResult(not reasons, metadata, "; ".join(reasons))


def _missed(expected: QualityRequirement, report: "EvaluationReport") -> list[str]:
    return [
        f"{expected.project}: {name} is {report.evaluation.metrics[name]:.3f}, not {least:g} or more"
        for name, least in expected.thresholds.items()
        if report.evaluation.metrics[name] < least
    ]


def _row(project: str, judged: "QueryEvaluation") -> tuple[str, ...]:
    wanted = [name for name, grade in sorted(judged.query.relevant.items(), key=lambda item: -item[1]) if grade]
    return (
        project,
        judged.query.text,
        f"{judged.metrics['ndcg@10']:.3f}",
        ", ".join(wanted[:3]),
        ", ".join(judged.found[:3]),
    )


def answers_no_worse(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> CheckResult:
    """Each project's evaluation queries score no worse in this space than in the live one, within the tolerance."""
    with engine.connect() as connection:
        projects, live = quality_requirements(connection), get_live_space(connection)
    if not projects or live is None or live.id == space.id:
        return CheckResult(True, {"questions": 0})
    from rag_assets.search.evaluation.run import run_evaluation
    from rag_assets.search.retriever import Retriever

    metadata: dict[str, Any] = {"questions": 0, "tolerance": settings.quality_tolerance}
    reasons = []
    for expected in projects:
        evaluations = []
        try:
            questions = expected.read()
            for compared in (live, space):
                retriever = Retriever(engine, ef_search=settings.ef_search, encoder=encoder, space=compared)
                report = run_evaluation(engine, retriever, questions, project=expected.project, space=compared)
                evaluations.append(report.evaluation)
        except RagAssetsError as error:
            # Without a comparison, the space is not proved.
            reasons.append(f"{expected.project}: {error}")
            continue
        in_live, in_new = evaluations
        metadata["questions"] += len(in_new.queries)
        for name in COMPARED_METRICS:
            metadata |= {
                f"{expected.project} {name}": in_new.metrics[name],
                f"{expected.project} {name} live": in_live.metrics[name],
            }
            if in_new.metrics[name] < in_live.metrics[name] - settings.quality_tolerance:
                reasons.append(
                    f"{expected.project}: {name} of its evaluation queries is {in_new.metrics[name]:.3f}, "
                    f"but {in_live.metrics[name]:.3f} in the live space"
                )
    return CheckResult(not reasons, metadata, "; ".join(reasons))

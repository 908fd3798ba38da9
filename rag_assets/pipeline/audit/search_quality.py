"""How well searches answer the questions that projects have judged."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import RagAssetsError
from rag_assets.pipeline.audit.result import Finding
from rag_assets.pipeline.charts.markdown import table
from rag_assets.projects.settings import METRICS
from rag_assets.search.evaluation.thresholds import QualityRequirement, quality_requirements
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.search.evaluation.evaluate import QueryEvaluation
    from rag_assets.search.evaluation.run import EvaluationReport
    from rag_assets.search.execution.query_embedding import MakeEncoder
    from rag_assets.search.retriever import Retriever


LOST = 10


def search_quality(engine: Engine, retriever: "Callable[[], Retriever]", project: str | None = None) -> Finding:
    """The metrics of each project that has questions, of one or of all, against its thresholds."""
    with engine.connect() as connection:
        wanted = quality_requirements(connection, project)
    if not wanted:
        return Finding(True, {"questions": 0, "note": "no project has a question file"})
    from rag_assets.search.evaluation.run import run_evaluation

    metadata: dict[str, Any] = {"questions": 0}
    searching = retriever()
    reasons: list[str] = []
    lost: list[tuple[str, ...]] = []
    for expected in wanted:
        try:
            report = run_evaluation(engine, searching, expected.read(), project=expected.project)
        except RagAssetsError as error:
            # The questions of one project that cannot be read say nothing about the others.
            reasons.append(f"{expected.project}: {error}")
            continue
        found = report.evaluation
        metadata["questions"] += len(found.queries)
        # A number under the same name in each run: Dagster plots it over time.
        metadata |= {f"{expected.project} {name}": found.metrics[name] for name in METRICS}
        metadata[f"{expected.project} judged_documents_missing"] = len(report.missing)
        metadata |= {f"{expected.project} threshold {name}": least for name, least in expected.thresholds.items()}
        reasons += _missed(expected, report)
        lost += [_row(expected.project, one) for one in found.worst(LOST)]
    if lost:
        metadata["lost_worst"] = table(("project", "question", "nDCG@10", "wanted", "found first"), lost)
    return Finding(not reasons, metadata, "; ".join(reasons))


def _missed(expected: QualityRequirement, report: "EvaluationReport") -> list[str]:
    return [
        f"{expected.project}: {name} is {report.evaluation.metrics[name]:.3f}, not {least:g} or more"
        for name, least in expected.thresholds.items()
        if report.evaluation.metrics[name] < least
    ]


def _row(project: str, one: "QueryEvaluation") -> tuple[str, ...]:
    wanted = [name for name, grade in sorted(one.query.relevant.items(), key=lambda item: -item[1]) if grade]
    return (
        project,
        one.query.text,
        f"{one.metrics['ndcg@10']:.3f}",
        ", ".join(wanted[:3]),
        ", ".join(one.found[:3]),
    )


COMPARED = ("ndcg@10", "recall@10")


def answers_no_worse(
    engine: Engine, settings: Settings, space: EmbeddingSpace, encoder: "MakeEncoder | None" = None
) -> Finding:
    """The judged questions of each project, asked in both spaces as searches ask: no metric falls by the tolerance."""
    with engine.connect() as connection:
        asked, live = quality_requirements(connection), get_live_space(connection)
    if not asked or live is None or live.id == space.id:
        return Finding(True, {"questions": 0})
    from rag_assets.search.evaluation.run import run_evaluation
    from rag_assets.search.retriever import Retriever

    metadata: dict[str, Any] = {"questions": 0, "tolerance": settings.quality_tolerance}
    reasons = []
    for expected in asked:
        means = []
        try:
            questions = expected.read()
            for one in (live, space):
                retriever = Retriever(engine, ef_search=settings.ef_search, encoder=encoder, space=one)
                means.append(
                    run_evaluation(engine, retriever, questions, project=expected.project, space=one).evaluation
                )
        except RagAssetsError as error:
            # What cannot be compared is not proved.
            reasons.append(f"{expected.project}: {error}")
            continue
        now, then = means
        metadata["questions"] += len(then.queries)
        for name in COMPARED:
            metadata |= {
                f"{expected.project} {name}": then.metrics[name],
                f"{expected.project} {name} live": now.metrics[name],
            }
            if then.metrics[name] < now.metrics[name] - settings.quality_tolerance:
                reasons.append(
                    f"{expected.project}: {name} of its judged questions is {then.metrics[name]:.3f}, "
                    f"but {now.metrics[name]:.3f} in the live space"
                )
    return Finding(not reasons, metadata, "; ".join(reasons))

"""How well searches answer the questions that projects have judged."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from rag_assets.audit.finding import Finding
from rag_assets.audit.markdown import table
from rag_assets.errors import RagAssetsError
from rag_assets.search.expectations import METRICS, Expectation, expectations

if TYPE_CHECKING:
    from rag_assets.search.evaluation import Judged
    from rag_assets.search.judging import Report
    from rag_assets.search.retriever import Retriever

LOST = 10


def search_quality(engine: Engine, retriever: "Callable[[], Retriever]", project: str | None = None) -> Finding:
    """The metrics of each project that has questions, of one or of all, against its thresholds."""
    with engine.connect() as connection:
        wanted = expectations(connection, project)
    if not wanted:
        return Finding(True, {"questions": 0, "note": "no project has a question file"})
    from rag_assets.search.judging import judge

    metadata: dict[str, Any] = {"questions": 0}
    searching = retriever()
    reasons: list[str] = []
    lost: list[tuple[str, ...]] = []
    for expected in wanted:
        try:
            report = judge(engine, searching, expected.read(), project=expected.project)
        except RagAssetsError as error:
            # The questions of one project that cannot be read say nothing about the others.
            reasons.append(f"{expected.project}: {error}")
            continue
        found = report.evaluation
        metadata["questions"] += len(found.judged)
        # A number under the same name in each run: Dagster plots it over time.
        metadata |= {f"{expected.project} {name}": found.metrics[name] for name in METRICS}
        metadata[f"{expected.project} judged_documents_missing"] = len(report.missing)
        metadata |= {f"{expected.project} threshold {name}": least for name, least in expected.thresholds.items()}
        reasons += _missed(expected, report)
        lost += [_row(expected.project, one) for one in found.lost(LOST)]
    if lost:
        metadata["lost_worst"] = table(("project", "question", "nDCG@10", "wanted", "found first"), lost)
    return Finding(not reasons, metadata, "; ".join(reasons))


def _missed(expected: Expectation, report: "Report") -> list[str]:
    return [
        f"{expected.project}: {name} is {report.evaluation.metrics[name]:.3f}, not {least:g} or more"
        for name, least in expected.thresholds.items()
        if report.evaluation.metrics[name] < least
    ]


def _row(project: str, one: "Judged") -> tuple[str, ...]:
    wanted = [name for name, grade in sorted(one.question.relevant.items(), key=lambda item: -item[1]) if grade]
    return (
        project,
        one.question.query,
        f"{one.metrics['ndcg@10']:.3f}",
        ", ".join(wanted[:3]),
        ", ".join(one.found[:3]),
    )

"""Judged questions asked of an installation: what the command line, checks and benchmarks report."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.errors import ServiceError
from rag_assets.search.evaluation.beir import match_document_ids
from rag_assets.search.evaluation.evaluate import Evaluation, TimedAnswer, evaluate_search
from rag_assets.search.evaluation.queries import EvaluationQuerySet
from rag_assets.search.request import DEFAULT_MODE
from rag_assets.search.results import Mode
from rag_assets.search.retriever import Retriever


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """An evaluation, what it was made with, and the judged documents that the index does not have."""

    evaluation: Evaluation
    settings: dict[str, Any]
    missing: list[str]

    def as_json(self) -> dict[str, Any]:
        """What `rag-assets evaluate --json` prints; `passages` only where passages are judged."""
        return {
            "metrics": self.evaluation.metrics,
            **({"passages": self.evaluation.passages} if self.evaluation.passages else {}),
            "questions": len(self.evaluation.judged),
            "latency_ms": self.evaluation.latency_ms,
            "settings": self.settings,
        }


def run_evaluation(
    engine: Engine,
    retriever: Retriever,
    asked: EvaluationQuerySet,
    *,
    project: str | None = None,
    mode: Mode | None = None,
    ef_search: int | None = None,
    space: EmbeddingSpace | None = None,
) -> EvaluationReport:
    """Ask all questions of one project or of all, in the mode named or in the retriever's own.

    Without a project, files of one path in several projects count as one document. `ef_search` is only reported, it is
    the retriever's; and `space` is the one that it searches, unset the live one. Raises what a search raises:
    UsageError for an unknown project, ServiceError while no space is live.
    """
    search, mode = project_search(retriever, project, mode)
    # An unknown project or a service that is away is said before anything else is looked at.
    search(asked.questions[0].query, 1)
    space, paths = _searched_documents(engine, project, space)
    document_of, missing = _judged_documents(asked, paths)
    evaluation = evaluate_search(asked.questions, search, document_of)
    settings = {
        "project": project,
        "mode": mode,
        "space": space.id,
        "model": space.model,
        "revision": space.revision,
        "chunking": space.chunking,
        "distance": space.distance,
        "storage": space.storage,
        "ef_search": ef_search or space.ef_search,
        "documents": len(paths),
        "judged_documents_missing": len(missing),
        "questions_not_judged": asked.not_judged,
        "questions_short_of_documents": evaluation.shallow,
    }
    return EvaluationReport(evaluation, settings, missing)


def project_search(
    retriever: Retriever, project: str | None, mode: Mode | None
) -> tuple[Callable[[str, int], TimedAnswer], Mode]:
    """The retriever's search of this project in this mode, and the mode's name."""
    chosen = mode or DEFAULT_MODE
    return lambda query, k: retriever.search(query, k=k, project=project, mode=chosen), chosen


def _searched_documents(
    engine: Engine, project: str | None, space: EmbeddingSpace | None
) -> tuple[EmbeddingSpace, set[str]]:
    """The space, unset the live one, and the paths of all documents that a search in it can find."""
    with engine.connect() as connection:
        space = space or get_live_space(connection)
        if space is None:
            raise ServiceError("no space is live any more; run rag-assets ingest, then evaluate again.")
        has_chunk = (
            select(DocumentChunk.id)
            .where(DocumentChunk.document_id == Document.id, DocumentChunk.chunking == space.chunking)
            .exists()
        )
        paths = select(Document.file_path).where(has_chunk)
        if project is not None:
            paths = paths.join(Project, Project.id == Document.project_id).where(Project.name == project)
        return space, set(connection.scalars(paths))


def _judged_documents(asked: EvaluationQuerySet, paths: Iterable[str]) -> tuple[Callable[[str], str], list[str]]:
    """The name by which a stored path is judged, and the judged documents that no stored path stands for."""
    judged = {name for question in asked.questions for name, grade in question.relevant.items() if grade}
    if not asked.by_document_id:
        return lambda path: path, sorted(judged.difference(paths))
    ids = match_document_ids(paths, {name for question in asked.questions for name in question.relevant})
    # A path that is no judged id must not pass for one.
    return lambda path: ids.get(path, f"file {path}"), sorted(judged.difference(ids.values()))

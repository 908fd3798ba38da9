"""Run evaluation queries on an installation, for the command line, the checks and the benchmarks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from rag_assets.db.access.viewer import current_viewer, declare_viewer
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
    """An evaluation, the settings that it ran with, and the judged documents that the space does not contain."""

    evaluation: Evaluation
    settings: dict[str, Any]
    missing: list[str]

    def as_json(self) -> dict[str, Any]:
        """The output of `rag-assets evaluate --json`; `passages` only where passages are judged."""
        return {
            "metrics": self.evaluation.metrics,
            **({"passages": self.evaluation.passages} if self.evaluation.passages else {}),
            "questions": len(self.evaluation.queries),
            "latency_ms": self.evaluation.latency_ms,
            "settings": self.settings,
        }


def run_evaluation(
    engine: Engine,
    retriever: Retriever,
    query_set: EvaluationQuerySet,
    *,
    project: str | None = None,
    mode: Mode | None = None,
    ef_search: int | None = None,
    space: EmbeddingSpace | None = None,
) -> EvaluationReport:
    """Evaluate all queries on one project or on all, in the given mode or the retriever's default.

    Without a project, files with the same path in several projects count as one document. `ef_search` is the
    retriever's and is only reported; `space` is the one that the retriever searches, None for the live one. Raises
    UsageError for an unknown project, ServiceError while no space is live.
    """
    search, mode = project_search(retriever, project, mode)
    # Fail early where the project is unknown or a service is unavailable.
    search(query_set.queries[0].text, 1)
    space, paths = _searched_documents(engine, project, space)
    document_of, missing = _judged_documents(query_set, paths)
    evaluation = evaluate_search(query_set.queries, search, document_of)
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
        "questions_not_judged": query_set.not_judged,
        "questions_short_of_documents": evaluation.incomplete,
    }
    return EvaluationReport(evaluation, settings, missing)


def project_search(
    retriever: Retriever, project: str | None, mode: Mode | None
) -> tuple[Callable[[str, int], TimedAnswer], Mode]:
    """The retriever's search of this project, None for all, in this mode; and the mode."""
    chosen = mode or DEFAULT_MODE
    # A copy of a judged document is judged too, or not, under its own name.
    return lambda query, k: retriever.search(query, k=k, project=project, mode=chosen, distinct=False), chosen


def _searched_documents(
    engine: Engine, project: str | None, space: EmbeddingSpace | None
) -> tuple[EmbeddingSpace, set[str]]:
    """The space, by default the live one, and the paths of all documents with chunks in it."""
    viewer = current_viewer()
    with engine.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
        if viewer is not None:
            declare_viewer(connection, viewer)
        space = space or get_live_space(connection)
        if space is None:
            raise ServiceError("no space is live; run rag-assets ingest, then evaluate again.")
        has_chunk = (
            select(DocumentChunk.id)
            .where(DocumentChunk.document_id == Document.id, DocumentChunk.chunking == space.chunking)
            .exists()
        )
        paths = select(Document.file_path).where(has_chunk)
        if project is not None:
            paths = paths.join(Project, Project.id == Document.project_id).where(Project.name == project)
        return space, set(connection.scalars(paths))


def _judged_documents(query_set: EvaluationQuerySet, paths: Iterable[str]) -> tuple[Callable[[str], str], list[str]]:
    """The mapping from a stored path to the name by which it is judged, and the judged documents without a path."""
    judged = {name for query in query_set.queries for name, grade in query.relevant.items() if grade}
    if not query_set.by_document_id:
        return lambda path: path, sorted(judged.difference(paths))
    ids = match_document_ids(paths, {name for query in query_set.queries for name in query.relevant})
    # A path that matches no judged id must not equal one.
    return lambda path: ids.get(path, f"file {path}"), sorted(judged.difference(ids.values()))

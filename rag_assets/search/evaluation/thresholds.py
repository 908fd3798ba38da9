"""The search quality that a project requires: a file of evaluation queries, and minimum values of metrics."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from rag_assets.db.models import Project
from rag_assets.documents.sources import open_source
from rag_assets.documents.sources.base import read_bytes
from rag_assets.documents.sources.uri import canonical_uri, is_local
from rag_assets.errors import UsageError
from rag_assets.projects.settings import METRICS, QUESTIONS_KEY, THRESHOLDS_KEY
from rag_assets.search.evaluation.queries import EvaluationQuerySet, read_queries


@dataclass(frozen=True, slots=True)
class QualityRequirement:
    """The evaluation queries of a project, a path or an fsspec URL, and the minimum value of each metric."""

    project: str
    queries: str
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def read(self) -> EvaluationQuerySet:
        """Read the queries; raises UsageError where they cannot be read."""
        return read_queries_at(self.queries)


def quality_requirements(connection: Connection, project: str | None = None) -> list[QualityRequirement]:
    """The requirements of one project or of all; projects without evaluation queries have none."""
    wanted = (
        select(Project.name, Project.settings).where(Project.settings.has_key(QUESTIONS_KEY)).order_by(Project.name)
    )
    if project is not None:
        wanted = wanted.where(Project.name == project)
    return [
        QualityRequirement(name, settings[QUESTIONS_KEY], settings.get(THRESHOLDS_KEY, {}))
        for name, settings in connection.execute(wanted)
    ]


def set_quality_requirement(
    settings: Mapping[str, Any], queries: str | None, thresholds: Sequence[str] | None
) -> dict[str, Any]:
    """A project's settings with these queries and thresholds (`ndcg@10=0.7`); None keeps the present ones.

    An empty address removes both. Raises UsageError for queries that cannot be read, an unknown metric, and thresholds
    without queries.
    """
    changed = dict(settings)
    if queries == "":
        changed.pop(QUESTIONS_KEY, None)
        changed.pop(THRESHOLDS_KEY, None)
    elif queries is not None:
        changed[QUESTIONS_KEY] = canonical_uri(queries)
        read_queries_at(changed[QUESTIONS_KEY])
    if thresholds:
        if QUESTIONS_KEY not in changed:
            raise UsageError("a threshold needs evaluation queries; name their file with --questions.")
        changed[THRESHOLDS_KEY] = dict(map(_parse_threshold, thresholds))
    return changed


def read_queries_at(address: str) -> EvaluationQuerySet:
    """The evaluation queries at a local path or an fsspec URL; raises UsageError where they cannot be read."""
    if is_local(address):
        return read_queries(Path(address))
    with closing(open_source(address)) as source, tempfile.TemporaryDirectory(prefix="rag-questions-") as folder:
        files = list(source.list())
        if not files:
            raise UsageError(f"{address} has no file of evaluation queries; check the address.")
        for file in files:
            copy = Path(folder, file.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(read_bytes(source, file.path))
        single = len(files) == 1 and "/" not in files[0].path
        return read_queries(Path(folder, files[0].path) if single else Path(folder))


def _parse_threshold(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        minimum = float(value)
    except ValueError:
        minimum = -1
    if name not in METRICS or not 0 <= minimum <= 1:
        raise UsageError(
            f"the threshold {text!r} is invalid; write a metric ({', '.join(METRICS)}) and a value from 0 to 1, "
            "like ndcg@10=0.7."
        )
    return name, minimum

"""What a project expects of searches: a file of judged questions, and the least that the metrics may be."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from rag_assets.db.models import Project
from rag_assets.documents.sources import open_source
from rag_assets.documents.sources.uri import canonical_uri, is_local
from rag_assets.errors import UsageError
from rag_assets.projects.settings import METRICS, QUESTIONS_KEY, THRESHOLDS_KEY
from rag_assets.search.evaluation.queries import EvaluationQuerySet, read_queries


@dataclass(frozen=True, slots=True)
class QualityRequirement:
    """`questions` is a path or an fsspec URL; `thresholds` has the least value of a metric by its name."""

    project: str
    questions: str
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def read(self) -> EvaluationQuerySet:
        """The questions as they are now; raises UsageError where they cannot be read."""
        return read_queries_at(self.questions)


def quality_requirements(connection: Connection, project: str | None = None) -> list[QualityRequirement]:
    """Those of one project or of all; projects without questions have none."""
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
    settings: Mapping[str, Any], questions: str | None, thresholds: Sequence[str] | None
) -> dict[str, Any]:
    """A project's settings with these questions and these thresholds (`ndcg@10=0.7`); None leaves what is there.

    An empty address takes the questions away. Raises UsageError for questions that cannot be read, for a metric that
    is not known, and for thresholds without questions.
    """
    changed = dict(settings)
    if questions == "":
        changed.pop(QUESTIONS_KEY, None)
        changed.pop(THRESHOLDS_KEY, None)
    elif questions is not None:
        changed[QUESTIONS_KEY] = canonical_uri(questions)
        read_queries_at(changed[QUESTIONS_KEY])
    if thresholds:
        if QUESTIONS_KEY not in changed:
            raise UsageError("a threshold needs questions to be measured with; name their file with --questions.")
        changed[THRESHOLDS_KEY] = dict(map(_parse_threshold, thresholds))
    return changed


def read_queries_at(address: str) -> EvaluationQuerySet:
    """The questions of a local path, or of what an fsspec URL leads to."""
    if is_local(address):
        return read_queries(Path(address))
    with closing(open_source(address)) as source, tempfile.TemporaryDirectory(prefix="rag-questions-") as folder:
        files = list(source.list())
        if not files:
            raise UsageError(f"{address} has no file of questions; check the address.")
        for file in files:
            copy = Path(folder, file.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read(file.path))
        single = len(files) == 1 and "/" not in files[0].path
        return read_queries(Path(folder, files[0].path) if single else Path(folder))


def _parse_threshold(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        least = float(value)
    except ValueError:
        least = -1
    if name not in METRICS or not 0 <= least <= 1:
        raise UsageError(
            f"the threshold {text!r} cannot be; write a metric ({', '.join(METRICS)}) and a share, like ndcg@10=0.7."
        )
    return name, least

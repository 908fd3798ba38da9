"""Which stage failed for which project, in a run that may have gone well for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Text, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import Project, ProjectFailure

# The stages that work project by project, in their order.
STAGES = ("raw_documents", "chunks", "embeddings")


@dataclass(frozen=True, slots=True)
class StageFailure:
    """`since` is when the stage failed first, without having gone well in between."""

    project: str
    stage: str
    run_id: str | None
    error: str
    since: datetime


def record_failure(connection: Connection, project: str, stage: str, error: str, run_id: str | None) -> None:
    """Does nothing where the project is gone."""
    of_project = select(Project.id, *(_literal(value) for value in (stage, error.replace("\0", "�"), run_id))).where(
        Project.name == project
    )
    statement = insert(ProjectFailure).from_select(["project_id", "stage", "error", "run_id"], of_project)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "stage"],
            set_={name: statement.excluded[name] for name in ("error", "run_id")} | {"updated_at": func.now()},
        )
    )


def record_success(connection: Connection, projects: Sequence[str], stage: str) -> None:
    """Forget what failed of this stage before; the first one stamps that the sources were read just now."""
    of_projects = select(Project.id).where(Project.name.in_(projects))
    connection.execute(
        delete(ProjectFailure).where(ProjectFailure.stage == stage, ProjectFailure.project_id.in_(of_projects))
    )
    if stage == STAGES[0]:
        # Nothing that was set of the project has changed, so `updated_at` stays.
        stamp = {"refreshed_at": func.now(), "updated_at": Project.updated_at}
        connection.execute(update(Project).where(Project.name.in_(projects)).values(stamp))


def list_failures(connection: Connection, *, stage: str | None = None, run_id: str | None = None) -> list[StageFailure]:
    """Of one stage or of all, of one run or whenever they were; by project and in the order of the stages."""
    statement = select(
        Project.name, ProjectFailure.stage, ProjectFailure.run_id, ProjectFailure.error, ProjectFailure.created_at
    ).join(Project, Project.id == ProjectFailure.project_id)
    if stage is not None:
        statement = statement.where(ProjectFailure.stage == stage)
    if run_id is not None:
        statement = statement.where(ProjectFailure.run_id == run_id)
    found = [StageFailure(*row) for row in connection.execute(statement.where(Project.removed_at.is_(None)))]
    return sorted(found, key=lambda failure: (failure.project, STAGES.index(failure.stage)))


def _literal(value: str | None) -> ColumnElement[str | None]:
    return literal(value, Text)

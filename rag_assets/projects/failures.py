"""Failures of a stage for one project, in a run that may have succeeded for the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Text, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import Project, ProjectFailure

# The stages that work project by project, in order.
STAGES = ("raw_documents", "chunks", "embeddings")


@dataclass(frozen=True, slots=True)
class StageFailure:
    """`since` is the first failure of the stage after its last success."""

    project: str
    stage: str
    run_id: str | None
    error: str
    since: datetime


def record_failure(connection: Connection, project: str, stage: str, error: str, run_id: str | None) -> None:
    """Store the failure, over an earlier one of the same stage; does nothing where the project was deleted."""
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
    """Delete the recorded failures of the stage; success of the first stage also sets `refreshed_at`."""
    of_projects = select(Project.id).where(Project.name.in_(projects))
    connection.execute(
        delete(ProjectFailure).where(ProjectFailure.stage == stage, ProjectFailure.project_id.in_(of_projects))
    )
    if stage == STAGES[0]:
        # No setting of the project has changed, so `updated_at` stays.
        stamp = {"refreshed_at": func.now(), "updated_at": Project.updated_at}
        connection.execute(update(Project).where(Project.name.in_(projects)).values(stamp))


def list_failures(connection: Connection, *, stage: str | None = None, run_id: str | None = None) -> list[StageFailure]:
    """Recorded failures, by project and then by stage; `stage` and `run_id` limit them."""
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

"""Failures of a stage for one project, in a run that may have succeeded for the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Text, cast, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import Project, ProjectFailure, ShardRefresh
from rag_assets.db.spaces.shards import SHARDS, explicit_keys
from rag_assets.documents.shards import Shard, key_projects, split_key

# The stages that work project by project, in order.
STAGES = ("raw_documents", "chunks", "embeddings")


@dataclass(frozen=True, slots=True)
class StageFailure:
    """`since` is the first failure of the stage after its last success; `shard` is "" for the first or only one."""

    project: str
    stage: str
    run_id: str | None
    error: str
    since: datetime
    shard: str = ""

    @property
    def key(self) -> str:
        """The partition that failed."""
        return f"{self.project}:{self.shard}" if self.shard else self.project


def record_failure(connection: Connection, project: str, stage: str, error: str, run_id: str | None) -> None:
    """Store the failure, over an earlier one of the same stage; does nothing where the project was deleted."""
    name, shard = split_key(project)
    values = (_stored_shard(shard), stage, error.replace("\0", "�"), run_id)
    of_project = select(Project.id, *map(_literal, values)).where(Project.name == name)
    statement = insert(ProjectFailure).from_select(["project_id", "shard", "stage", "error", "run_id"], of_project)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "stage", "shard"],
            set_={name: statement.excluded[name] for name in ("error", "run_id")} | {"updated_at": func.now()},
        )
    )


def record_success(connection: Connection, projects: Sequence[str], stage: str) -> None:
    """Delete the recorded failures of the stage, and those of shards that there are no more.

    Success of the first stage also sets `refreshed_at`: of a project with shards, when the first of them was read.
    """
    keys = [split_key(key) for key in projects]
    names = key_projects(projects)
    succeeded = [f"{name}:{_stored_shard(shard)}" for name, shard in keys]
    failed = ProjectFailure
    connection.execute(
        delete(failed).where(
            failed.stage == stage,
            failed.project_id == Project.id,
            Project.name.in_(names),
            or_((Project.name + ":" + failed.shard).in_(succeeded), _is_outdated(failed.shard)),
        )
    )
    if stage == STAGES[0]:
        _stamp_refreshed(connection, names, projects)


def _stamp_refreshed(connection: Connection, names: Sequence[str], keys: Sequence[str]) -> None:
    # No setting of the project has changed, so `updated_at` stays.
    refreshed = update(Project).values(updated_at=Project.updated_at)
    connection.execute(refreshed.where(Project.name.in_(names), SHARDS == 1).values(refreshed_at=func.now()))
    shards = dict(iter(connection.execute(select(Project.name, Project.id).where(Project.name.in_(names), SHARDS > 1))))
    rows = [
        {"project_id": shards[name], "shard": shard.suffix}
        for name, shard in map(split_key, explicit_keys(connection, keys))
        if name in shards and shard is not None
    ]
    if not rows:
        return
    now = {"refreshed_at": func.now()}
    statement = insert(ShardRefresh).on_conflict_do_update(index_elements=["project_id", "shard"], set_=now)
    connection.execute(statement, rows)
    of_project = ShardRefresh.project_id == Project.id
    connection.execute(
        delete(ShardRefresh).where(of_project, Project.name.in_(shards), _is_outdated(ShardRefresh.shard))
    )
    all_read = select(func.count()).where(of_project).scalar_subquery() == SHARDS
    oldest = select(func.min(ShardRefresh.refreshed_at)).where(of_project).scalar_subquery()
    connection.execute(refreshed.where(Project.name.in_(shards), all_read).values(refreshed_at=oldest))


def _is_outdated(shard: Any) -> ColumnElement[bool]:
    """Whether a stored shard is of another number of shards than the project has."""
    # NULL of the first or only shard, which is never outdated.
    outdated: ColumnElement[bool] = cast(func.nullif(func.split_part(shard, "of", 2), ""), Integer) != SHARDS
    return outdated


def _stored_shard(shard: Shard | None) -> str:
    return shard.suffix if shard is not None and shard.number > 1 else ""


def list_failures(connection: Connection, *, stage: str | None = None, run_id: str | None = None) -> list[StageFailure]:
    """Recorded failures, by project and then by stage; `stage` and `run_id` limit them."""
    statement = select(
        Project.name,
        ProjectFailure.stage,
        ProjectFailure.run_id,
        ProjectFailure.error,
        ProjectFailure.created_at,
        ProjectFailure.shard,
    ).join(Project, Project.id == ProjectFailure.project_id)
    if stage is not None:
        statement = statement.where(ProjectFailure.stage == stage)
    if run_id is not None:
        statement = statement.where(ProjectFailure.run_id == run_id)
    found = [StageFailure(*row) for row in connection.execute(statement.where(Project.removed_at.is_(None)))]
    return sorted(found, key=lambda failure: (failure.project, STAGES.index(failure.stage)))


def _literal(value: str | None) -> ColumnElement[str | None]:
    return literal(value, Text)

"""Which projects lag behind the others: a stage failed for them, or nobody has read their sources for long."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from rag_assets.pipeline.audit.result import EXAMPLES, Finding
from rag_assets.projects.failures import list_failures
from rag_assets.projects.settings import NEVER, ProjectSettings
from rag_assets.projects.store import get_projects


def every_project_done(engine: Engine, stage: str, projects: Sequence[str] | None = None) -> Finding:
    """The last run of the stage went well for every project, of some or of all."""
    with engine.connect() as connection:
        found = list_failures(connection, stage=stage)
        names = [project.name for project in get_projects(connection) if project.removed_at is None]
    asked = names if projects is None else projects
    failed = [failure for failure in found if failure.project in asked]
    told = [f"{failure.project}, since {failure.since:%Y-%m-%d %H:%M} UTC: {failure.error}" for failure in failed]
    return Finding(
        not failed,
        {"projects": len(asked), "failed": len(failed), "threshold": 0, "examples": told[:EXAMPLES]},
        f"{stage} failed for {len(failed)} of {len(asked)} projects: {'; '.join(told[:EXAMPLES])}",
    )


def every_project_fresh(engine: Engine, stale_after_hours: float, projects: Sequence[str] | None = None) -> Finding:
    """The sources of each project were read not too long ago; its own age counts where it has one."""
    now = datetime.now(UTC)
    with engine.connect() as connection:
        found = [p for p in get_projects(connection) if p.removed_at is None]
    stale: list[str] = []
    oldest_h = 0.0
    watched = 0
    for project in found:
        # Settings that cannot be are every_project_read's to report: what is not one of them is left out here.
        own = ProjectSettings.model_construct(**project.settings)
        if (projects is not None and project.name not in projects) or (
            own.schedule == NEVER and own.stale_after_hours is None
        ):
            continue
        watched += 1
        limit = timedelta(hours=own.stale_after_hours or stale_after_hours)
        age = now - (project.refreshed_at or project.created_at)
        oldest_h = max(oldest_h, age / timedelta(hours=1))
        if age > limit:
            when = f"{project.refreshed_at:%Y-%m-%d %H:%M} UTC" if project.refreshed_at else "never"
            stale.append(f"{project.name}: last read {when}, wanted every {limit / timedelta(hours=1):g} h")
    return Finding(
        not stale,
        {
            "projects": watched,
            "stale": len(stale),
            "threshold": 0,
            "oldest_hours": round(oldest_h, 2),
            "examples": stale[:EXAMPLES],
        },
        f"{len(stale)} of {watched} projects are stale: {'; '.join(stale[:EXAMPLES])}",
    )

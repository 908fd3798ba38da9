"""Projects that lag behind: a stage failed for them, or their source was not read for too long."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from rag_assets.documents.shards import key_projects
from rag_assets.pipeline.audit.result import EXAMPLES, CheckResult
from rag_assets.projects.failures import list_failures
from rag_assets.projects.settings import NEVER, ProjectSettings
from rag_assets.projects.store import get_projects

# The clocks of the server and of this machine may differ.
CLOCK_TOLERANCE = timedelta(hours=1)


def stage_succeeded_for_projects(engine: Engine, stage: str, projects: Sequence[str] | None = None) -> CheckResult:
    """The last run of the stage succeeded for each of these projects and shards; with None, for all."""
    with engine.connect() as connection:
        found = list_failures(connection, stage=stage)
        names = [project.name for project in get_projects(connection) if project.removed_at is None]
    checked = names if projects is None else projects
    wanted = set(checked)
    failed = [failure for failure in found if (failure.project if projects is None else failure.key) in wanted]
    lines = [f"{failure.key}, since {failure.since:%Y-%m-%d %H:%M} UTC: {failure.error}" for failure in failed]
    return CheckResult(
        not failed,
        {"projects": len(checked), "failed": len(failed), "threshold": 0, "examples": lines[:EXAMPLES]},
        f"{stage} failed for {len(failed)} of {len(checked)} projects: {'; '.join(lines[:EXAMPLES])}",
    )


def every_project_fresh(engine: Engine, stale_after_hours: float, projects: Sequence[str] | None = None) -> CheckResult:
    """Each project's source was read recently enough, by its own `stale_after_hours` if it has one.

    Projects that are only refreshed by hand are left out.
    """
    now = datetime.now(UTC)
    with engine.connect() as connection:
        active = [project for project in get_projects(connection) if project.removed_at is None]
    wanted = None if projects is None else key_projects(projects)
    stale: list[str] = []
    oldest_h = 0.0
    checked = 0
    for project in active:
        # Not validated: invalid settings are reported by every_project_read.
        own = ProjectSettings.model_construct(**project.settings)
        if (wanted is not None and project.name not in wanted) or (
            own.schedule == NEVER and own.stale_after_hours is None
        ):
            continue
        checked += 1
        limit = timedelta(hours=own.stale_after_hours or stale_after_hours)
        age = now - (project.refreshed_at or project.created_at)
        oldest_h = max(oldest_h, age / timedelta(hours=1))
        # Read "in an hour": a clock was ahead, and the project would count as fresh until then.
        ahead = -age > CLOCK_TOLERANCE
        if age > limit or ahead:
            when = f"{project.refreshed_at:%Y-%m-%d %H:%M} UTC" if project.refreshed_at else "never"
            when += ", which is in the future: a clock was ahead" if ahead else ""
            stale.append(f"{project.name}: last read {when}, wanted every {limit / timedelta(hours=1):g} h")
    return CheckResult(
        not stale,
        {
            "projects": checked,
            "stale": len(stale),
            "threshold": 0,
            "oldest_hours": round(oldest_h, 2),
            "examples": stale[:EXAMPLES],
        },
        f"{len(stale)} of {checked} projects are stale: {'; '.join(stale[:EXAMPLES])}",
    )

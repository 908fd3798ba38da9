"""When projects are refreshed: every night, by a cron of their own, or when their source has changed."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.automation.default_status import schedule_status, sensor_status
from rag_assets.orchestration.automation.jobs import Jobs
from rag_assets.orchestration.automation.run_requests import Context, refresh_requests
from rag_assets.orchestration.partitions import changes_of_keys
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from rag_assets.db.models import Project
    from rag_assets.projects.settings import ProjectSettings

# Dagster ends a sensor's tick after 60 s.
LOOKING_S = 40
# A daemon that was away for longer than this begins anew, rather than with what it missed.
CATCH_UP = timedelta(days=1)


def nightly_refresh(pipeline: Pipeline, jobs: Jobs) -> dg.ScheduleDefinition:
    settings = pipeline.settings

    @dg.schedule(
        name=pipeline.name("nightly_refresh"),
        job=jobs.ingest,
        cron_schedule=settings.refresh_cron,
        execution_timezone=settings.time_zone,
        required_resource_keys={pipeline.postgres_key},
        default_status=schedule_status(settings),
    )
    def nightly_refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        """Every project that has no cron of its own, in as few runs as there are gaps between them."""
        wanted = {project.name for project, own in _active(context, pipeline) if own.schedule is None}
        # Dagster takes several requests of one tick by their keys alone.
        return refresh_requests(context, pipeline, wanted, context.scheduled_execution_time.isoformat())

    return nightly_refresh


def own_schedules(pipeline: Pipeline, jobs: Jobs) -> dg.SensorDefinition:
    @dg.sensor(
        name=pipeline.name("own_schedules"),
        job=jobs.ingest,
        minimum_interval_seconds=pipeline.settings.sensor_interval_s,
        required_resource_keys={pipeline.postgres_key},
        default_status=sensor_status(pipeline.settings),
    )
    def own_schedules(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """The projects whose own cron came true since the last tick."""
        from rag_assets.projects.settings import NEVER
        from rag_assets.settings.cron import cron_times

        # Schedules of Dagster are made when the location is loaded; projects come and go.
        now = datetime.now(UTC)
        last = datetime.fromisoformat(context.cursor) if context.cursor else now
        last = max(last, now - CATCH_UP)
        requests = []
        for project, own in _active(context, pipeline):
            if own.schedule is None or own.schedule == NEVER:
                continue
            due = next(cron_times(own.schedule, own.time_zone or pipeline.settings.time_zone, last))
            if due <= now:
                key = f"{project.name} {due.isoformat()}"
                requests += refresh_requests(context, pipeline, {project.name}, key)
        return dg.SensorResult(run_requests=requests, cursor=now.isoformat())

    return own_schedules


def changed_sources(pipeline: Pipeline, jobs: Jobs) -> dg.SensorDefinition:
    @dg.sensor(
        name=pipeline.name("changed_sources"),
        job=jobs.ingest,
        minimum_interval_seconds=pipeline.settings.sensor_interval_s,
        required_resource_keys={pipeline.postgres_key},
        default_status=sensor_status(pipeline.settings),
    )
    def changed_sources(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """The projects whose source lists something else than at the last look; no document is read for it.

        The cursor keeps a fingerprint of each listing, and where the last look ended, if there was no time for all.
        """
        seen: dict[str, str] = json.loads(context.cursor)["seen"] if context.cursor else {}
        after: str = json.loads(context.cursor)["after"] if context.cursor else ""
        found = sorted(_active(context, pipeline), key=lambda one: (one[0].name <= after, one[0].name))
        known = set(context.instance.get_dynamic_partitions(str(pipeline.projects.name)))
        until = time.monotonic() + LOOKING_S
        changed: dict[str, str] = {}
        looked = ""
        for project, own in found:
            if project.name not in known:
                continue
            if looked and time.monotonic() >= until:
                break
            looked = project.name
            try:
                listing = listing_fingerprint(project.source_uri, own, pipeline.settings.state_dir)
            except Exception as error:
                # A source that is away for a moment has not changed; its run would fail, and say so, every tick.
                context.log.warning(f"the source of project {project.name} cannot be listed: {error}")
                continue
            if seen.get(project.name) != listing:
                changed[project.name] = listing
        names = {project.name for project, _ in found}
        kept = {name: listing for name, listing in (seen | changed).items() if name in names}
        # Without run keys: a source may come back to a listing that it had before, and that is a change, too.
        return dg.SensorResult(
            run_requests=refresh_requests(context, pipeline, changed),
            cursor=json.dumps({"seen": kept, "after": looked}),
        )

    return changed_sources


def project_partitions(pipeline: Pipeline) -> dg.SensorDefinition:
    @dg.sensor(
        name=pipeline.name("project_partitions"),
        minimum_interval_seconds=pipeline.settings.sensor_interval_s,
        required_resource_keys={pipeline.postgres_key},
        default_status=sensor_status(pipeline.settings),
    )
    def project_partitions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Makes what is declared exist, and the partition keys equal to the projects: added and removed."""
        from rag_assets.projects.declarations import read_declarations
        from rag_assets.projects.reconcile import reconcile_projects
        from rag_assets.projects.store import partition_names

        postgres = pipeline.postgres(context)
        with postgres.engine.begin() as connection:
            found = reconcile_projects(connection, read_declarations(postgres.settings))
            wanted = partition_names(connection)
        for name in found.undeclared:
            context.log.warning(
                f"project {name} is declared no more; it stays until: rag-assets projects remove {name} [--purge]"
            )
        added, removed = changes_of_keys(context.instance, wanted, pipeline.projects)
        requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
        if added:
            requests.append(pipeline.projects.build_add_request(added))
        if removed:
            requests.append(pipeline.projects.build_delete_request(removed))
        said = ", ".join([*(f"+{name}" for name in added), *(f"-{name}" for name in removed)])
        reason = None if requests else "the partitions are the projects"
        return dg.SensorResult(dynamic_partitions_requests=requests, skip_reason=reason, cursor=said or context.cursor)

    return project_partitions


def listing_fingerprint(source_uri: str, own: "ProjectSettings", state_dir: Path) -> str:
    """Changes when a document of the source comes, goes or has another version; lists, and reads nothing."""
    from rag_assets.documents.sources import open_source

    digest = sha256()
    exclude = [*own.exclude, *own.forgotten]
    with closing(open_source(source_uri, include=own.include, exclude=exclude, state_dir=state_dir)) as source:
        for file in source.list():
            digest.update(json.dumps([file.path, file.version, file.size_bytes]).encode())
    return digest.hexdigest()[:32]


def _active(context: Context, pipeline: Pipeline) -> "Iterator[tuple[Project, ProjectSettings]]":
    """The projects that are refreshed, with their settings; of one whose settings cannot be, its run tells."""
    from rag_assets.errors import UsageError
    from rag_assets.projects.settings import parse_project_settings
    from rag_assets.projects.store import get_projects

    with pipeline.postgres(context).engine.connect() as connection:
        found = get_projects(connection)
    for project in found:
        if project.removed_at is not None:
            continue
        try:
            yield project, parse_project_settings(project.name, project.settings)
        except UsageError as error:
            context.log.warning(str(error))

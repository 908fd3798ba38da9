"""When projects are refreshed: every night, by a cron of their own, or when their source has changed."""

import json
import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from rag_assets.documents.shards import shard_keys
from rag_assets.orchestration.assets.sources import active_projects, listing_fingerprint
from rag_assets.orchestration.automation.default_status import schedule_status, sensor_status
from rag_assets.orchestration.automation.jobs import Jobs
from rag_assets.orchestration.automation.run_requests import refresh_requests
from rag_assets.orchestration.partitions import partition_changes
from rag_assets.orchestration.resources.upstream_assets import add_upstream_projects, last_materialization
from rag_assets.orchestration.scope import PipelineScope

# How long one tick lists sources; Dagster ends a tick after 60 s.
LISTING_TIME_S = 40
# After a longer pause, the daemon does not make up for the cron ticks that it missed.
CATCH_UP = timedelta(days=1)


def nightly_refresh_schedule(scope: PipelineScope, jobs: Jobs) -> dg.ScheduleDefinition:
    settings = scope.settings

    @dg.schedule(
        name=scope.name("nightly_refresh"),
        job=jobs.ingest,
        cron_schedule=settings.refresh_cron,
        execution_timezone=settings.time_zone,
        required_resource_keys={scope.postgres_key},
        default_status=schedule_status(settings),
    )
    def nightly_refresh(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        """Refreshes every project without a cron of its own, in as few runs as possible."""
        active = active_projects(context, scope)
        wanted = {
            key for project, own in active if own.schedule is None for key in shard_keys(project.name, own.shards)
        }
        # Dagster accepts several requests from one tick only if they have run keys.
        return refresh_requests(context, scope, wanted, context.scheduled_execution_time.isoformat())

    return nightly_refresh


def own_schedules_sensor(scope: PipelineScope, jobs: Jobs) -> dg.SensorDefinition:
    @dg.sensor(
        name=scope.name("own_schedules"),
        job=jobs.ingest,
        minimum_interval_seconds=scope.settings.sensor_interval_s,
        required_resource_keys={scope.postgres_key},
        default_status=sensor_status(scope.settings),
    )
    def own_schedules(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Refreshes the projects whose own cron was due since the last tick."""
        from rag_assets.projects.settings import NEVER
        from rag_assets.settings.cron import cron_times

        # A sensor, since Dagster's schedules are fixed when the code location is loaded, and projects are not.
        now = datetime.now(UTC)
        last = datetime.fromisoformat(context.cursor) if context.cursor else now
        last = max(last, now - CATCH_UP)
        requests = []
        for project, own in active_projects(context, scope):
            if own.schedule is None or own.schedule == NEVER:
                continue
            due = next(cron_times(own.schedule, own.time_zone or scope.settings.time_zone, last))
            if due <= now:
                key = f"{project.name} {due.isoformat()}"
                requests += refresh_requests(context, scope, set(shard_keys(project.name, own.shards)), key)
        return dg.SensorResult(run_requests=requests, cursor=now.isoformat())

    return own_schedules


def changed_sources_sensor(scope: PipelineScope, jobs: Jobs) -> dg.SensorDefinition:
    @dg.sensor(
        name=scope.name("changed_sources"),
        job=jobs.ingest,
        minimum_interval_seconds=scope.settings.sensor_interval_s,
        required_resource_keys={scope.postgres_key},
        default_status=sensor_status(scope.settings),
    )
    def changed_sources(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Refreshes the projects whose source lists something else than at the last tick; reads no document.

        The cursor holds a fingerprint of each listing (`seen`), and the last project that was listed (`after`): the
        next tick goes on there when the time did not suffice for all.
        """
        from rag_assets.documents.sources.rows.asset_rows import is_asset_address
        from rag_assets.documents.sources.web.address import is_site_address

        seen: dict[str, str] = json.loads(context.cursor)["seen"] if context.cursor else {}
        after: str = json.loads(context.cursor)["after"] if context.cursor else ""
        active = sorted(active_projects(context, scope), key=lambda pair: (pair[0].name <= after, pair[0].name))
        shards = {project.name: own.shards for project, own in active}
        partitions = set(context.instance.get_dynamic_partitions(str(scope.projects.name)))
        end = time.monotonic() + LISTING_TIME_S
        changed: dict[str, str] = {}
        listed = ""
        for project, own in active:
            # Assets have a sensor of their own, and a site is not asked for all its pages at every tick.
            if is_asset_address(project.source_uri) or is_site_address(project.source_uri):
                continue
            if project.name not in partitions:
                continue
            if listed and time.monotonic() >= end:
                break
            listed = project.name
            try:
                fingerprint = listing_fingerprint(project.source_uri, own, scope.settings.state_dir, project.name)
            except Exception as error:
                # An unreachable source has not changed; a run for it would fail at every tick.
                context.log.warning(f"the source of project {project.name} cannot be listed: {error}")
                continue
            if seen.get(project.name) != fingerprint:
                changed[project.name] = fingerprint
        names = {project.name for project, _ in active}
        kept = {name: fingerprint for name, fingerprint in (seen | changed).items() if name in names}
        # No run keys: a source that returns to an earlier listing has changed too.
        return dg.SensorResult(
            run_requests=refresh_requests(
                context, scope, {key for name in changed for key in shard_keys(name, shards[name])}
            ),
            cursor=json.dumps({"seen": kept, "after": listed}),
        )

    return changed_sources


def changed_upstreams_sensor(scope: PipelineScope, jobs: Jobs) -> dg.SensorDefinition:
    @dg.sensor(
        name=scope.name("changed_upstreams"),
        job=jobs.ingest,
        minimum_interval_seconds=scope.settings.sensor_interval_s,
        default_status=sensor_status(scope.settings),
    )
    def changed_upstreams(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Refreshes the projects whose upstream asset was materialized since the last tick."""
        seen: dict[str, int] = json.loads(context.cursor) if context.cursor else {}
        last = {name: last_materialization(context.instance, asset) for name, asset in scope.upstream}
        changed = {name for name, number in last.items() if number is not None and seen.get(name) != number}
        known = set(context.instance.get_dynamic_partitions(str(scope.projects.name)))
        # A project without its partition is seen again when `project_partitions` has added it.
        kept = {name: last[name] if name in changed & known else seen.get(name) for name in last}
        return dg.SensorResult(run_requests=refresh_requests(context, scope, changed & known), cursor=json.dumps(kept))

    return changed_upstreams


def project_partitions_sensor(scope: PipelineScope) -> dg.SensorDefinition:
    @dg.sensor(
        name=scope.name("project_partitions"),
        minimum_interval_seconds=scope.settings.sensor_interval_s,
        required_resource_keys={scope.postgres_key},
        # Projects that are declared in code are there to be materialized.
        default_status=dg.DefaultSensorStatus.RUNNING if scope.declarations else sensor_status(scope.settings),
    )
    def project_partitions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Creates declared projects, and adds and removes partition keys until they equal the projects."""
        from rag_assets.projects.declarations import read_declarations
        from rag_assets.projects.reconcile import reconcile_projects
        from rag_assets.projects.store import partition_keys

        postgres = scope.postgres(context)
        add_upstream_projects(postgres.engine, scope.upstream)
        with postgres.engine.begin() as connection:
            declared = scope.declarations or read_declarations(postgres.settings)
            found = reconcile_projects(connection, declared)
            wanted = partition_keys(connection)
        for name in found.undeclared:
            context.log.warning(
                f"project {name} is no longer declared; it stays until: rag-assets projects remove {name} [--purge]"
            )
        removed, added = partition_changes(context.instance, wanted, scope.projects)
        requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
        # In this order: keys that are removed and added move to the end.
        if removed:
            requests.append(scope.projects.build_delete_request(removed))
        if added:
            requests.append(scope.projects.build_add_request(added))
        changes = ", ".join([*(f"+{name}" for name in added), *(f"-{name}" for name in removed)])
        reason = None if requests else "the partitions equal the projects"
        return dg.SensorResult(
            dynamic_partitions_requests=requests, skip_reason=reason, cursor=changes or context.cursor
        )

    return project_partitions

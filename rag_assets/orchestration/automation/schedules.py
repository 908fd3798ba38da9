"""The schedules, in UTC: messages and memories every night, maintenance every week."""

from collections.abc import Callable
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.automation.default_status import schedule_status
from rag_assets.orchestration.automation.jobs import Jobs
from rag_assets.orchestration.partitions import range_tags
from rag_assets.orchestration.scope import PipelineScope

if TYPE_CHECKING:
    from rag_assets.orchestration.storage.dagster_internals import UnresolvedAssetJobDefinition


def yesterdays_messages_schedule(scope: PipelineScope, jobs: Jobs) -> dg.ScheduleDefinition:
    @_utc_schedule(scope, "yesterdays_messages", jobs.embed_messages, "10 0 * * *")
    def yesterdays_messages(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Embeds the messages of the day that has just ended."""
        return dg.RunRequest(partition_key=_day_before(context, 1))

    return yesterdays_messages


def trailing_messages_schedule(scope: PipelineScope, jobs: Jobs) -> dg.ScheduleDefinition:
    @_utc_schedule(scope, "trailing_messages", jobs.embed_messages, "0 3 * * *")
    def trailing_messages(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Embeds what the last days still lack: messages that arrived late, were restored, or whose run had failed."""
        # A range is one run: Dagster 1.13 has no public way to start a backfill from a schedule.
        first = max(_day_before(context, scope.settings.messages_window_days), scope.days.start.date().isoformat())
        return dg.RunRequest(tags=range_tags(first, _day_before(context, 1)))

    return trailing_messages


def nightly_memories_schedule(scope: PipelineScope, jobs: Jobs) -> dg.ScheduleDefinition:
    @_utc_schedule(scope, "nightly_memories", jobs.embed_memories, "20 0 * * *")
    def nightly_memories() -> dg.RunRequest:
        """Embeds new memories, and removes the vectors of expired ones."""
        return dg.RunRequest()

    return nightly_memories


def nightly_table_schedule(scope: PipelineScope, jobs: Jobs, kind: str) -> dg.ScheduleDefinition:
    @_utc_schedule(scope, f"nightly_{kind}", jobs.embed_tables[kind], "30 0 * * *")
    def nightly_table() -> dg.RunRequest:
        """Embeds the new and changed rows of this table, and removes the vectors of deleted ones."""
        return dg.RunRequest()

    return nightly_table


def weekly_maintenance_schedule(scope: PipelineScope, jobs: Jobs) -> dg.ScheduleDefinition:
    @_utc_schedule(scope, "weekly_maintenance", jobs.maintenance, scope.settings.maintenance_cron)
    def weekly_maintenance() -> dg.RunRequest:
        """Runs the maintenance, when RAG_ASSETS_MAINTENANCE_CRON says."""
        return dg.RunRequest()

    return weekly_maintenance


def _day_before(context: dg.ScheduleEvaluationContext, days: int) -> str:
    """The partition key of the day that many days before the tick's."""
    return (context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=days)).isoformat()


def _utc_schedule(
    scope: PipelineScope, name: str, job: "dg.JobDefinition | UnresolvedAssetJobDefinition", cron: str
) -> Callable[[Callable[..., dg.RunRequest]], dg.ScheduleDefinition]:
    return dg.schedule(
        name=scope.name(name),
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=schedule_status(scope.settings),
    )

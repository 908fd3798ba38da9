"""The schedules: messages and memories every night, maintenance every week, by UTC."""

from collections.abc import Callable
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.automation.default_status import schedule_status
from rag_assets.orchestration.automation.jobs import Jobs
from rag_assets.orchestration.partitions import range_tags
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from rag_assets.orchestration.storage.dagster_internals import UnresolvedAssetJobDefinition


def yesterdays_messages(pipeline: Pipeline, jobs: Jobs) -> dg.ScheduleDefinition:
    @_by_utc(pipeline, "yesterdays_messages", jobs.embed_messages, "10 0 * * *")
    def yesterdays_messages(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """The messages of the day that has just ended."""
        return dg.RunRequest(partition_key=_day(context, 1))

    return yesterdays_messages


def trailing_messages(pipeline: Pipeline, jobs: Jobs) -> dg.ScheduleDefinition:
    @_by_utc(pipeline, "trailing_messages", jobs.embed_messages, "0 3 * * *")
    def trailing_messages(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """The last days again: messages that came in late, were restored, or whose run had failed."""
        # A range is one run: Dagster 1.13 has no public way from a schedule to a backfill.
        first = max(_day(context, pipeline.settings.messages_window_days), pipeline.days.start.date().isoformat())
        return dg.RunRequest(tags=range_tags(first, _day(context, 1)))

    return trailing_messages


def nightly_memories(pipeline: Pipeline, jobs: Jobs) -> dg.ScheduleDefinition:
    @_by_utc(pipeline, "nightly_memories", jobs.embed_memories, "20 0 * * *")
    def nightly_memories() -> dg.RunRequest:
        """What is new to remember, and what has expired."""
        return dg.RunRequest()

    return nightly_memories


def nightly_table(pipeline: Pipeline, jobs: Jobs, kind: str) -> dg.ScheduleDefinition:
    @_by_utc(pipeline, f"nightly_{kind}", jobs.embed_tables[kind], "30 0 * * *")
    def nightly_table() -> dg.RunRequest:
        """The rows of this table that are new, changed or deleted."""
        return dg.RunRequest()

    return nightly_table


def weekly_maintenance(pipeline: Pipeline, jobs: Jobs) -> dg.ScheduleDefinition:
    @_by_utc(pipeline, "weekly_maintenance", jobs.maintenance, pipeline.settings.maintenance_cron)
    def weekly_maintenance() -> dg.RunRequest:
        """What an installation needs now and then; RAG_ASSETS_MAINTENANCE_CRON says when."""
        return dg.RunRequest()

    return weekly_maintenance


def _day(context: dg.ScheduleEvaluationContext, before: int) -> str:
    """The key of the day so many before the one of the tick."""
    return (context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=before)).isoformat()


def _by_utc(
    pipeline: Pipeline, name: str, job: "dg.JobDefinition | UnresolvedAssetJobDefinition", cron: str
) -> Callable[[Callable[..., dg.RunRequest]], dg.ScheduleDefinition]:
    return dg.schedule(
        name=pipeline.name(name),
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=schedule_status(pipeline.settings),
    )

"""The schedules: messages and memories every night, maintenance every week, by UTC."""

from datetime import UTC, timedelta

import dagster as dg

from rag_assets.automation.jobs import embed_memories, embed_messages
from rag_assets.automation.maintenance import maintenance_job
from rag_assets.automation.status import SCHEDULE_STATUS
from rag_assets.partitions import days
from rag_assets.settings import load_settings


@dg.schedule(job=embed_messages, cron_schedule="10 0 * * *", execution_timezone="UTC", default_status=SCHEDULE_STATUS)
def yesterdays_messages(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The messages of the day that has just ended."""
    return dg.RunRequest(partition_key=_day(context, 1))


@dg.schedule(job=embed_messages, cron_schedule="0 3 * * *", execution_timezone="UTC", default_status=SCHEDULE_STATUS)
def trailing_messages(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The last days again: messages that came in late, were restored, or whose run had failed."""
    # A range is one run: Dagster 1.13 has no public way from a schedule to a backfill.
    first = max(_day(context, load_settings().messages_window_days), days.start.date().isoformat())
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": _day(context, 1)}
    return dg.RunRequest(tags=tags)


@dg.schedule(job=embed_memories, cron_schedule="20 0 * * *", execution_timezone="UTC", default_status=SCHEDULE_STATUS)
def nightly_memories() -> dg.RunRequest:
    """What is new to remember, and what has expired."""
    return dg.RunRequest()


@dg.schedule(
    job=maintenance_job,
    cron_schedule=load_settings().maintenance_cron,
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
)
def weekly_maintenance() -> dg.RunRequest:
    """What an installation needs now and then; RAG_ASSETS_MAINTENANCE_CRON says when."""
    return dg.RunRequest()


def _day(context: dg.ScheduleEvaluationContext, before: int) -> str:
    """The key of the day so many before the one of the tick."""
    return (context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=before)).isoformat()

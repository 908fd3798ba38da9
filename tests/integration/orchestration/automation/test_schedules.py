"""The schedules: yesterday's messages, the trailing days as one run over a range, and maintenance."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.definitions import defs
from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings, load_settings
from tests.support.data.conversations import MONDAY, TUESDAY, add_conversation, embedded_hashes
from tests.support.fakes import ENCODERS
from tests.support.pipeline.runs import SCHEDULES, errors, fake_defs

yesterdays_messages, trailing_messages = SCHEDULES["yesterdays_messages"], SCHEDULES["trailing_messages"]
weekly_maintenance = SCHEDULES["weekly_maintenance"]

TICK_TIME = datetime(2026, 3, 4, 3, tzinfo=UTC)


def tick(schedule: dg.ScheduleDefinition, at: datetime = TICK_TIME) -> dg.RunRequest:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        ) as context,
    ):
        [request] = schedule.evaluate_tick(context).run_requests or []
    return request


def test_the_nightly_schedule_requests_the_previous_day() -> None:
    assert tick(yesterdays_messages).partition_key == "2026-03-03"
    assert tick(yesterdays_messages, datetime(2026, 1, 1, 0, 10, tzinfo=UTC)).partition_key == "2025-12-31"


def test_the_trailing_days_are_one_request(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_MESSAGES_WINDOW_DAYS", "2")
    request = tick(trailing_messages)
    assert request.partition_key is None
    assert request.tags["dagster/asset_partition_range_start"] == MONDAY.isoformat()
    assert request.tags["dagster/asset_partition_range_end"] == TUESDAY.isoformat()
    ENCODERS.clear()
    add_conversation(engine, MONDAY, "came in late")
    add_conversation(engine, TUESDAY, "of yesterday")
    result = fake_defs.resolve_job_def("embed_messages").execute_in_process(
        instance=dg.DagsterInstance.get(),
        tags=dict(request.tags),
        asset_selection=[dg.AssetKey("message_embeddings")],
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert errors(result) == []
    assert len(embedded_hashes(engine, "messages")) == 2


def test_the_trailing_days_start_no_earlier_than_the_first_partition() -> None:
    request = tick(trailing_messages, datetime(2024, 1, 3, 3, tzinfo=UTC))
    assert request.tags["dagster/asset_partition_range_start"] == "2024-01-01"


def test_every_schedule_runs_an_existing_job() -> None:
    names = {job.name for job in defs.jobs or []}
    for schedule in defs.schedules or []:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.job_name in names
        assert schedule.execution_timezone == "UTC"


def test_maintenance_runs_weekly_by_default(built: Engine) -> None:
    assert weekly_maintenance.cron_schedule == "30 4 * * 0"
    assert tick(weekly_maintenance).partition_key is None
    result = fake_defs.resolve_job_def("maintenance").execute_in_process(
        instance=dg.DagsterInstance.get(),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert errors(result) == []
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    assert output.step_output_data.metadata["orphans_removed"].value == 0


@pytest.mark.parametrize("cron", ["weekly", "30 4 * *"])
def test_the_error_for_an_invalid_cron_names_its_setting(cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_MAINTENANCE_CRON", cron)
    with pytest.raises(UsageError, match="RAG_ASSETS_MAINTENANCE_CRON"):
        load_settings()

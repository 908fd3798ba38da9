"""The schedules of messages: yesterday, and the trailing days as one run over a range."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.definitions import defs
from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings, load_settings
from tests.support.conversations import MONDAY, TUESDAY, add_conversation, embedded_hashes
from tests.support.fakes import ENCODERS
from tests.support.runs import SCHEDULES, errors, fake_defs

yesterdays_messages, trailing_messages = SCHEDULES["yesterdays_messages"], SCHEDULES["trailing_messages"]
weekly_maintenance = SCHEDULES["weekly_maintenance"]

AT = datetime(2026, 3, 4, 3, tzinfo=UTC)


def ticked(schedule: dg.ScheduleDefinition, at: datetime = AT) -> dg.RunRequest:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        ) as context,
    ):
        [request] = schedule.evaluate_tick(context).run_requests or []
    return request


def test_every_night_asks_for_the_day_that_has_just_ended() -> None:
    assert ticked(yesterdays_messages).partition_key == "2026-03-03"
    assert ticked(yesterdays_messages, datetime(2026, 1, 1, 0, 10, tzinfo=UTC)).partition_key == "2025-12-31"


def test_the_trailing_days_are_one_request_that_runs(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_MESSAGES_WINDOW_DAYS", "2")
    request = ticked(trailing_messages)
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


def test_the_first_partition_bounds_the_trailing_days() -> None:
    request = ticked(trailing_messages, datetime(2024, 1, 3, 3, tzinfo=UTC))
    assert request.tags["dagster/asset_partition_range_start"] == "2024-01-01"


def test_every_schedule_runs_a_job_that_there_is() -> None:
    names = {job.name for job in defs.jobs or []}
    for schedule in defs.schedules or []:
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.job_name in names
        assert schedule.execution_timezone == "UTC"


def test_the_maintenance_runs_weekly_unless_told_otherwise_and_runs(built: Engine) -> None:
    assert weekly_maintenance.cron_schedule == "30 4 * * 0"
    assert ticked(weekly_maintenance).partition_key is None
    result = fake_defs.resolve_job_def("maintenance").execute_in_process(
        instance=dg.DagsterInstance.get(),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert errors(result) == []
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    assert output.step_output_data.metadata["orphans_removed"].value == 0


@pytest.mark.parametrize("cron", ["weekly", "30 4 * *"])
def test_a_cron_that_is_none_names_its_setting(cron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_MAINTENANCE_CRON", cron)
    with pytest.raises(UsageError, match="RAG_ASSETS_MAINTENANCE_CRON"):
        load_settings()

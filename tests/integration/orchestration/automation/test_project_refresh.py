"""Refreshing projects: every night, by their own cron and when sources change; and their partition keys."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine

import rag_assets.orchestration.automation.project_refresh
from rag_assets import build_definitions
from rag_assets.definitions import defs
from rag_assets.orchestration.automation.run_requests import contiguous_ranges
from rag_assets.orchestration.partitions import RANGE_END, RANGE_START
from rag_assets.orchestration.resources.postgres import Postgres
from rag_assets.projects.store import retire_project
from rag_assets.settings.settings import Settings
from tests.support.pipeline.runs import SCHEDULES, SENSORS, add_project
from tests.support.pipeline.stages import write

nightly_refresh = SCHEDULES["nightly_refresh"]
own_schedules, changed_sources = SENSORS["own_schedules"], SENSORS["changed_sources"]
project_partitions = SENSORS["project_partitions"]


@pytest.fixture
def folders(settings: Settings, engine: Engine, tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that makes a project of a folder with one document."""

    def make(name: str, **own: Any) -> Path:
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(engine, name, tmp_path / name, **own)
        return tmp_path / name

    return make


def tick(sensor: dg.SensorDefinition, cursor: str | None = None) -> dg.SensorResult:
    instance = dg.DagsterInstance.get()
    with (
        # The daemon loads partitions in the same way.
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            resources={"postgres": Postgres()},
            repository_def=defs.get_repository_def(),
        ) as context,
    ):
        found = sensor.evaluate_tick(context)
    return dg.SensorResult(
        run_requests=found.run_requests,
        cursor=found.cursor,
        dynamic_partitions_requests=found.dynamic_partitions_requests,
    )


def requested_ranges(found: dg.SensorResult) -> list[tuple[str | None, str | None]]:
    """The first and the last project of each run request."""
    return [
        (request.partition_key, request.partition_key)
        if request.partition_key
        else (request.tags[RANGE_START], request.tags[RANGE_END])
        for request in found.run_requests or []
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", []),
        ("a", [("a", "a")]),
        ("abcd", [("a", "d")]),
        ("abd", [("a", "b"), ("d", "d")]),
        ("ac", [("a", "a"), ("c", "c")]),
        ("dz", [("d", "d")]),
    ],
)
def test_contiguous_ranges_are_as_few_as_possible(wanted: str, found: list[tuple[str, str]]) -> None:
    assert contiguous_ranges("abcd", set(wanted)) == found


@pytest.mark.parametrize(
    ("longest", "found"),
    [(1, ["aa", "bb", "dd", "ee", "ff"]), (2, ["ab", "de", "ff"]), (3, ["ab", "df"]), (9, ["ab", "df"])],
)
def test_ranges_are_no_longer_than_a_run_may_be(longest: int, found: list[str]) -> None:
    assert ["".join(ends) for ends in contiguous_ranges("abcdef", set("abdef"), longest)] == found


def test_the_nightly_refresh_requests_projects_without_their_own_schedule(
    folders: Callable[..., Path], engine: Engine
) -> None:
    for name in ("zoo", "air"):
        folders(name)
    folders("hourly", schedule="0 * * * *")
    folders("by-hand", schedule="never")
    folders("sea")
    folders("removed")
    with engine.begin() as connection:
        retire_project(connection, "removed")
    instance = dg.DagsterInstance.get()
    with (
        dg.partition_loading_context(dynamic_partitions_store=instance),
        dg.build_schedule_context(
            instance=instance,
            resources={"postgres": Postgres()},
            repository_def=defs.get_repository_def(),
            scheduled_execution_time=datetime(2026, 3, 4, 2, tzinfo=UTC),
        ) as context,
    ):
        requests = nightly_refresh.evaluate_tick(context).run_requests
    # Dagster's ranges follow the order in which partitions were added.
    assert requested_ranges(dg.SensorResult(run_requests=requests)) == [("zoo", "air"), ("sea", "sea")]
    assert len({request.run_key for request in requests or []}) == 2


def test_the_nightly_refresh_follows_the_settings(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    import subprocess
    import sys

    monkeypatch.setenv("RAG_ASSETS_REFRESH_CRON", "30 4 * * 1-5")
    monkeypatch.setenv("RAG_ASSETS_TIME_ZONE", "Europe/Berlin")
    monkeypatch.setenv("RAG_ASSETS_AUTOMATION", "true")
    code = (
        "from rag_assets.definitions import defs; n = defs.get_schedule_def('nightly_refresh'); "
        "print(n.cron_schedule, n.execution_timezone, n.default_status.value)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "30 4 * * 1-5 Europe/Berlin RUNNING\n"


def test_the_settings_set_the_interval_of_sensors() -> None:
    def intervals(**given: int) -> dict[str, int | None]:
        sensors = build_definitions(settings=given).sensors or []
        return {sensor.name: sensor.minimum_interval_seconds for sensor in sensors}

    assert intervals() == dict.fromkeys([*SENSORS, "follow_upstreams"], 30)
    assert intervals(sensor_interval_s=600) == dict.fromkeys([*SENSORS, "follow_upstreams"], 600)


def test_the_cron_of_a_project_requests_one_run_per_time(folders: Callable[..., Path]) -> None:
    folders("zoo")
    folders("hourly", schedule="0 * * * *")
    folders("in-berlin", schedule="0 6 * * *", time_zone="Europe/Berlin")
    first = tick(own_schedules)
    assert requested_ranges(first) == [], "earlier times are not requested"
    now = datetime.now(UTC)
    later = tick(own_schedules, (now - timedelta(hours=1, seconds=1)).isoformat())
    assert ("hourly", "hourly") in requested_ranges(later)
    assert len({request.run_key for request in later.run_requests or []}) == len(later.run_requests or [])
    again = tick(own_schedules, (now - timedelta(hours=1, seconds=1)).isoformat())
    keys = [[request.run_key for request in found.run_requests or []] for found in (later, again)]
    assert keys[0] == keys[1], "equal run keys: Dagster starts one run"
    day = tick(own_schedules, (now - timedelta(hours=24)).isoformat())
    assert {name for name, _ in requested_ranges(day)} == {"hourly", "in-berlin"}
    assert requested_ranges(tick(own_schedules, datetime.now(UTC).isoformat())) == []


def test_only_changed_sources_are_requested(folders: Callable[..., Path]) -> None:
    zoo, sea = folders("zoo"), folders("sea")
    first = tick(changed_sources)
    assert requested_ranges(first) == [("zoo", "sea")], "no source has been seen before"
    [request] = first.run_requests or []
    # Assets with automation conditions do not request what a run has selected.
    assert {key.to_user_string() for key in request.asset_selection or []} >= {"raw_documents", "chunks", "live_space"}
    assert requested_ranges(tick(changed_sources, first.cursor)) == []
    write(sea / "b.md", "More of the sea.")
    second = tick(changed_sources, first.cursor)
    assert requested_ranges(second) == [("sea", "sea")]
    (zoo / "a.md").unlink()
    write(sea / "b.md", "Another text of the sea.", age_s=30)
    third = tick(changed_sources, second.cursor)
    assert requested_ranges(third) == [("zoo", "sea")]
    assert requested_ranges(tick(changed_sources, third.cursor)) == []


def test_a_source_that_returns_to_an_earlier_state_is_requested(folders: Callable[..., Path]) -> None:
    zoo = folders("zoo")
    cursor = tick(changed_sources).cursor
    requests = []
    for _ in range(2):
        write(zoo / "b.md", "the same")
        os.utime(zoo / "b.md", (1e9, 1e9))
        found = tick(changed_sources, cursor)
        requests += found.run_requests or []
        (zoo / "b.md").unlink()
        found = tick(changed_sources, found.cursor)
        requests += found.run_requests or []
        cursor = found.cursor
    assert len(requests) == 4
    assert {request.run_key for request in requests} == {None}, "Dagster skips requests whose key it has seen"


def test_a_file_that_the_globs_exclude_is_no_change(folders: Callable[..., Path]) -> None:
    zoo = folders("zoo", include=["*.md"])
    first = tick(changed_sources)
    write(zoo / "picture.txt", "excluded")
    assert requested_ranges(tick(changed_sources, first.cursor)) == []


def test_a_missing_source_is_no_change_and_does_not_hide_others(folders: Callable[..., Path]) -> None:
    zoo, sea = folders("zoo"), folders("sea")
    first = tick(changed_sources)
    zoo.rename(zoo.with_name("away"))
    write(sea / "b.md", "More of the sea.")
    second = tick(changed_sources, first.cursor)
    assert requested_ranges(second) == [("sea", "sea")]
    zoo.with_name("away").rename(zoo)
    assert requested_ranges(tick(changed_sources, second.cursor)) == []


def test_a_sensor_that_runs_out_of_time_continues_at_the_next_tick(
    folders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rag_assets.orchestration.automation.project_refresh, "LISTING_TIME_S", 0)
    for name in ("a", "b", "c"):
        folders(name)
    seen, cursor = [], None
    for _ in range(3):
        found = tick(changed_sources, cursor)
        seen += requested_ranges(found)
        cursor = found.cursor
    assert seen == [("a", "a"), ("b", "b"), ("c", "c")]
    assert set(json.loads(cursor or "")["seen"]) == {"a", "b", "c"}


def test_partition_keys_follow_stored_and_declared_projects(
    folders: Callable[..., Path], settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    folders("zoo")
    folders("sea")
    assert tick(project_partitions).dynamic_partitions_requests == []
    with engine.begin() as connection:
        retire_project(connection, "zoo")
    write(settings.state_dir / "projects.yaml", f"projects: {{declared: {{source: {tmp_path}}}}}")
    requests = tick(project_partitions).dynamic_partitions_requests or []
    assert [type(request).__name__ for request in requests] == [
        "DeleteDynamicPartitionsRequest",
        "AddDynamicPartitionsRequest",
    ]
    assert [request.partition_keys for request in requests] == [["zoo"], ["declared"]]

"""When projects are refreshed: by night, by their own cron, when their sources change; and their partition keys."""

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
from tests.support.runs import SCHEDULES, SENSORS, add_project
from tests.support.stages import write

nightly_refresh = SCHEDULES["nightly_refresh"]
own_schedules, changed_sources = SENSORS["own_schedules"], SENSORS["changed_sources"]
project_partitions = SENSORS["project_partitions"]


@pytest.fixture
def folders(settings: Settings, engine: Engine, tmp_path: Path) -> Callable[..., Path]:
    """Makes a project of a folder with one document."""

    def make(name: str, **own: Any) -> Path:
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(engine, name, tmp_path / name, **own)
        return tmp_path / name

    return make


def look(sensor: dg.SensorDefinition, cursor: str | None = None) -> dg.SensorResult:
    instance = dg.DagsterInstance.get()
    with (
        # As the daemon does it.
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


def asked(found: dg.SensorResult) -> list[tuple[str | None, str | None]]:
    """First and last project of each request."""
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
def test_wanted_keys_are_as_few_ranges_as_can_be(wanted: str, found: list[tuple[str, str]]) -> None:
    assert contiguous_ranges("abcd", set(wanted)) == found


def test_every_night_asks_for_all_projects_but_those_with_a_cron_of_their_own(
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
    # By the order in which they were added, as Dagster's ranges go.
    assert asked(dg.SensorResult(run_requests=requests)) == [("zoo", "air"), ("sea", "sea")]
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
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "30 4 * * 1-5 Europe/Berlin RUNNING\n"


def test_sensors_look_as_often_as_the_settings_say() -> None:
    def intervals(**given: int) -> dict[str, int | None]:
        sensors = build_definitions(settings=given).sensors or []
        return {sensor.name: sensor.minimum_interval_seconds for sensor in sensors}

    assert intervals() == dict.fromkeys([*SENSORS, "follow_upstreams"], 30)
    assert intervals(sensor_interval_s=600) == dict.fromkeys([*SENSORS, "follow_upstreams"], 600)


def test_a_project_s_own_cron_asks_once_for_each_time_it_comes_true(folders: Callable[..., Path]) -> None:
    folders("zoo")
    folders("hourly", schedule="0 * * * *")
    folders("in-berlin", schedule="0 6 * * *", time_zone="Europe/Berlin")
    first = look(own_schedules)
    assert asked(first) == [], "from now on"
    now = datetime.now(UTC)
    later = look(own_schedules, (now - timedelta(hours=1, seconds=1)).isoformat())
    assert ("hourly", "hourly") in asked(later)
    assert len({request.run_key for request in later.run_requests or []}) == len(later.run_requests or [])
    again = look(own_schedules, (now - timedelta(hours=1, seconds=1)).isoformat())
    keys = [[request.run_key for request in found.run_requests or []] for found in (later, again)]
    assert keys[0] == keys[1], "asked twice for one time, Dagster runs it once"
    day = look(own_schedules, (now - timedelta(hours=24)).isoformat())
    assert {name for name, _ in asked(day)} == {"hourly", "in-berlin"}
    assert asked(look(own_schedules, datetime.now(UTC).isoformat())) == []


def test_changed_sources_are_asked_for_and_no_others(folders: Callable[..., Path]) -> None:
    zoo, sea = folders("zoo"), folders("sea")
    first = look(changed_sources)
    assert asked(first) == [("zoo", "sea")], "nothing is known yet"
    [request] = first.run_requests or []
    # What follows its upstreams by itself leaves alone what a run has in its selection.
    assert {key.to_user_string() for key in request.asset_selection or []} >= {"raw_documents", "chunks", "live_space"}
    assert asked(look(changed_sources, first.cursor)) == []
    write(sea / "b.md", "More of the sea.")
    second = look(changed_sources, first.cursor)
    assert asked(second) == [("sea", "sea")]
    (zoo / "a.md").unlink()
    write(sea / "b.md", "Another text of the sea.", age_s=30)
    third = look(changed_sources, second.cursor)
    assert asked(third) == [("zoo", "sea")]
    assert asked(look(changed_sources, third.cursor)) == []


def test_a_source_that_comes_back_to_what_it_was_has_changed(folders: Callable[..., Path]) -> None:
    zoo = folders("zoo")
    cursor = look(changed_sources).cursor
    asked_for = []
    for _ in range(2):
        write(zoo / "b.md", "the same")
        os.utime(zoo / "b.md", (1e9, 1e9))
        found = look(changed_sources, cursor)
        asked_for += found.run_requests or []
        (zoo / "b.md").unlink()
        found = look(changed_sources, found.cursor)
        asked_for += found.run_requests or []
        cursor = found.cursor
    assert len(asked_for) == 4
    assert {request.run_key for request in asked_for} == {None}, "Dagster leaves out what has a key that it has seen"


def test_what_is_not_taken_from_a_source_does_not_change_it(folders: Callable[..., Path]) -> None:
    zoo = folders("zoo", include=["*.md"])
    first = look(changed_sources)
    write(zoo / "picture.txt", "not taken")
    assert asked(look(changed_sources, first.cursor)) == []


def test_a_source_that_is_away_is_no_change_and_does_not_hide_others(folders: Callable[..., Path]) -> None:
    zoo, sea = folders("zoo"), folders("sea")
    first = look(changed_sources)
    zoo.rename(zoo.with_name("away"))
    write(sea / "b.md", "More of the sea.")
    second = look(changed_sources, first.cursor)
    assert asked(second) == [("sea", "sea")]
    zoo.with_name("away").rename(zoo)
    assert asked(look(changed_sources, second.cursor)) == []


def test_a_look_that_has_no_time_for_all_goes_on_where_it_ended(
    folders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rag_assets.orchestration.automation.project_refresh, "LISTING_TIME_S", 0)
    for name in ("a", "b", "c"):
        folders(name)
    seen, cursor = [], None
    for _ in range(3):
        found = look(changed_sources, cursor)
        seen += asked(found)
        cursor = found.cursor
    assert seen == [("a", "a"), ("b", "b"), ("c", "c")]
    assert set(json.loads(cursor or "")["seen"]) == {"a", "b", "c"}


def test_partition_keys_follow_the_projects_and_what_is_declared(
    folders: Callable[..., Path], settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    folders("zoo")
    folders("sea")
    assert look(project_partitions).dynamic_partitions_requests == []
    with engine.begin() as connection:
        retire_project(connection, "zoo")
    write(settings.state_dir / "projects.yaml", f"projects: {{declared: {{source: {tmp_path}}}}}")
    requests = look(project_partitions).dynamic_partitions_requests or []
    assert [type(request).__name__ for request in requests] == [
        "AddDynamicPartitionsRequest",
        "DeleteDynamicPartitionsRequest",
    ]
    assert [request.partition_keys for request in requests] == [["declared"], ["zoo"]]

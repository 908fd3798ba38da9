"""The SQLite storage: it reads and writes the same files as Dagster's own storage."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from packaging.version import Version

from rag_assets.orchestration.storage import sqlite_storage
from rag_assets.orchestration.storage.event_log import PooledEventLog
from rag_assets.orchestration.storage.open_files import MAX_OPEN
from tests.support.orchestration.dagster_homes import DEFAULT_CONFIG, SHIPPED_CONFIG

LOWEST, HIGHEST = sqlite_storage.TESTED_VERSIONS


@pytest.fixture
def installed_version_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists the installed version as tested; skips older versions, which use Dagster's own storage."""
    if Version(dg.__version__) < Version(LOWEST):
        pytest.skip(f"Dagster {dg.__version__} uses its own storage")
    monkeypatch.setattr(sqlite_storage, "TESTED_VERSIONS", (dg.__version__, dg.__version__))


@dg.asset
def counted() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"number": 7})


@dg.asset_check(asset=counted)
def is_counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c"])


@dg.asset(partitions_def=LETTERS)
def partitioned(context: dg.AssetExecutionContext) -> None:
    for number, key in enumerate(context.partition_keys):
        context.add_asset_metadata({"number": number}, partition_key=key)


JOB = dg.Definitions(assets=[counted], asset_checks=[is_counted]).resolve_implicit_global_asset_job_def()
PARTITIONED_JOB = dg.Definitions(assets=[partitioned]).resolve_implicit_global_asset_job_def()
RANGE = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextmanager
def open_instance(home: Path, settings: str) -> Iterator[dg.DagsterInstance]:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(settings)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def materialized_run_ids(instance: dg.DagsterInstance) -> list[str]:
    records = instance.fetch_materializations(dg.AssetKey("counted"), limit=100).records
    return [record.run_id for record in records]


def open_files(folder: Path) -> set[str]:
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        try:
            target = one.readlink()
        except OSError:
            continue
        if folder in target.parents and target.suffix == ".db":
            found.add(target.name)
    return found


@pytest.mark.usefixtures("installed_version_is_tested")
def test_both_storages_read_the_history_of_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(tmp_path, DEFAULT_CONFIG) as instance:
        first = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        assert isinstance(instance.event_log_storage, PooledEventLog)
        assert materialized_run_ids(instance) == [first]
        second = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
    with open_instance(tmp_path, DEFAULT_CONFIG) as instance:
        assert materialized_run_ids(instance) == [second, first]
        assert {run.run_id for run in instance.get_runs()} == {first, second}
        assert len(instance.all_logs(second)) == len(instance.all_logs(first))
        [check] = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(dg.AssetKey("counted"), "is_counted")]
        ).values()
        assert check.run_id == second


@pytest.mark.usefixtures("installed_version_is_tested")
def test_the_number_of_open_files_is_limited_and_closing_closes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        for _ in range(MAX_OPEN + 3):
            JOB.execute_in_process(instance=instance, run_config=QUIET)
        assert len(materialized_run_ids(instance)) == MAX_OPEN + 3
        assert 2 <= len(open_files(tmp_path)) <= MAX_OPEN + 1
    assert not open_files(tmp_path)


@pytest.mark.usefixtures("installed_version_is_tested")
def test_a_wiped_history_can_be_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        JOB.execute_in_process(instance=instance, run_config=QUIET)
        instance.wipe()
        assert materialized_run_ids(instance) == []
        after = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
        assert materialized_run_ids(instance) == [after]
    with open_instance(tmp_path, DEFAULT_CONFIG) as instance:
        assert materialized_run_ids(instance) == [after]


def summarize_partitions(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the history holds of the last run over all partitions, without ids and times."""
    [record] = instance.get_asset_records([dg.AssetKey("partitioned")])
    entry = record.asset_entry
    assert entry.last_materialization is not None
    assert entry.last_materialization.asset_materialization is not None
    assert entry.last_run_id is not None
    found = instance.fetch_materializations(dg.AssetKey("partitioned"), limit=100).records
    return {
        "last_of_them": entry.last_materialization.asset_materialization.partition == found[0].partition_key,
        "of_last_run": entry.last_materialization.run_id == entry.last_run_id == instance.get_runs()[0].run_id,
        "id_of_last": entry.last_materialization_storage_id == found[0].storage_id,
        # Dagster stores the partitions of a run in random order.
        "partitions": sorted((str(one.partition_key), one.run_id == entry.last_run_id) for one in found),
        "log": [event.dagster_event_type for event in instance.all_logs(entry.last_run_id)],
        "counts": instance.get_status_by_partition(dg.AssetKey("partitioned"), ["a", "b", "c"], LETTERS),
    }


@pytest.mark.usefixtures("installed_version_is_tested")
def test_partitions_stored_in_a_batch_equal_those_stored_by_dagster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "50")
    summaries: list[dict[str, Any]] = []
    for settings in (DEFAULT_CONFIG, SHIPPED_CONFIG):
        monkeypatch.setenv("DAGSTER_HOME", str(home := tmp_path / str(len(summaries))))
        with open_instance(home, settings) as instance:
            PARTITIONED_JOB.execute_in_process(instance=instance, run_config=QUIET, tags=RANGE)
            PARTITIONED_JOB.execute_in_process(instance=instance, run_config=QUIET, tags=RANGE)
            summaries.append(summarize_partitions(instance))
    assert summaries[0] == summaries[1]
    assert summaries[1]["last_of_them"]
    assert len(summaries[1]["partitions"]) == 6


@pytest.mark.usefixtures("installed_version_is_tested")
def test_a_failed_batch_is_rolled_back_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rollback Dagster stores the events one by one."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "50")
    stored = SqliteEventLogStorage.store_event
    broken: list[str] = []

    def breaks_at_the_second(storage: SqliteEventLogStorage, event: dg.EventLogEntry) -> None:
        stored(storage, event)
        if event.is_dagster_event and event.get_dagster_event().is_step_materialization:
            broken.append(str(event.get_dagster_event().partition))
            if len(broken) == 2:
                raise OSError("no space left on device")

    monkeypatch.setattr(SqliteEventLogStorage, "store_event", breaks_at_the_second)
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        run = PARTITIONED_JOB.execute_in_process(instance=instance, run_config=QUIET, tags=RANGE).run_id
        found = instance.fetch_materializations(dg.AssetKey("partitioned"), limit=100).records
        logged = [event.get_dagster_event() for event in instance.all_logs(run) if event.is_dagster_event]
    assert broken[:2] == broken[2:4]
    assert sorted(str(one.partition_key) for one in found) == ["a", "b", "c"]
    assert sorted(str(one.partition) for one in logged if one.is_step_materialization) == ["a", "b", "c"]


@pytest.mark.usefixtures("installed_version_is_tested")
@pytest.mark.parametrize("links", [True, False])
def test_the_file_of_a_run_equals_the_one_that_dagster_creates(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    made = []
    for settings in (DEFAULT_CONFIG, SHIPPED_CONFIG, SHIPPED_CONFIG):
        monkeypatch.setenv("DAGSTER_HOME", str(home := tmp_path / settings[:5]))
        with open_instance(home, settings) as instance:
            run = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
            assert run in instance.event_log_storage.get_all_run_ids()  # type: ignore[attr-defined]
        with sqlite3.connect(home / "history" / "runs" / f"{run}.db") as file:
            schema = file.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
            versions = file.execute("SELECT version_num FROM alembic_version").fetchall()
            made.append((schema, versions, file.execute("PRAGMA journal_mode").fetchall()))
        file.close()
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        (LOWEST, True),
        ("1.13.27", True),
        (HIGHEST, True),
        ("1.12.22", False),
        ("1.13.0", False),
        ("1.13.99", False),
        ("1.14.0", False),
    ],
)
def test_only_versions_from_lowest_to_highest_are_tested(version: str, tested: bool) -> None:
    assert sqlite_storage.is_tested(version) is tested


def test_an_untested_version_of_dagster_uses_its_own_storage_and_warns_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        assert isinstance(instance.event_log_storage, PooledEventLog) is sqlite_storage.is_tested(dg.__version__)
        first = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
    monkeypatch.setattr(dg, "__version__", "1.99.3")
    sqlite_storage._warn_untested.cache_clear()
    caplog.clear()
    for _ in range(2):
        with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
            assert type(instance.event_log_storage) is SqliteEventLogStorage
            assert type(instance.run_storage) is SqliteRunStorage
            assert first in materialized_run_ids(instance)
            second = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
            assert second in materialized_run_ids(instance)
    [record] = [record for record in caplog.records if record.name == sqlite_storage.__name__]
    assert record.levelname == "WARNING"
    assert f"tested with Dagster {LOWEST} to {HIGHEST}, and Dagster 1.99.3 is installed" in record.getMessage()
    sqlite_storage._warn_untested.cache_clear()

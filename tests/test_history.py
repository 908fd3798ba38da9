"""Dagster's history with open connections: the same files, read and written beside Dagster's own storage."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

import rag_assets
from rag_assets.history import MOST_OPEN, SqliteHistory
from tests.homes import PLAIN

SHIPPED = Path(rag_assets.__file__).with_name("dagster.yaml").read_text()


@dg.asset
def counted() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"number": 7})


@dg.asset_check(asset=counted)
def is_counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


JOB = dg.Definitions(assets=[counted], asset_checks=[is_counted]).resolve_implicit_global_asset_job_def()
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextmanager
def opened(home: Path, settings: str) -> Iterator[dg.DagsterInstance]:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(settings)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def materialized(instance: dg.DagsterInstance) -> list[str]:
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


def test_what_it_writes_dagster_reads_and_the_other_way_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with opened(tmp_path, PLAIN) as instance:
        first = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
    with opened(tmp_path, SHIPPED) as instance:
        assert type(instance.event_log_storage).__module__ == SqliteHistory.__module__
        assert materialized(instance) == [first]
        second = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
    with opened(tmp_path, PLAIN) as instance:
        assert materialized(instance) == [second, first]
        assert {run.run_id for run in instance.get_runs()} == {first, second}
        assert len(instance.all_logs(second)) == len(instance.all_logs(first))
        [check] = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(dg.AssetKey("counted"), "is_counted")]
        ).values()
        assert check.run_id == second


def test_of_many_runs_few_files_stay_open_and_none_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with opened(tmp_path, SHIPPED) as instance:
        for _ in range(MOST_OPEN + 3):
            JOB.execute_in_process(instance=instance, run_config=QUIET)
        assert len(materialized(instance)) == MOST_OPEN + 3
        assert 2 <= len(open_files(tmp_path)) <= MOST_OPEN + 1
    assert not open_files(tmp_path)


def test_a_wiped_history_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with opened(tmp_path, SHIPPED) as instance:
        JOB.execute_in_process(instance=instance, run_config=QUIET)
        instance.wipe()
        assert materialized(instance) == []
        after = JOB.execute_in_process(instance=instance, run_config=QUIET).run_id
        assert materialized(instance) == [after]
    with opened(tmp_path, PLAIN) as instance:
        assert materialized(instance) == [after]


WRITER = """
import sys
import dagster as dg
import pytest
from tests.test_history import JOB, QUIET
with dg.DagsterInstance.get() as instance:
    for _ in range(4):
        JOB.execute_in_process(instance=instance, run_config=QUIET)
"""


def test_processes_write_at_one_time_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with opened(tmp_path, SHIPPED):
        pass
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER], env=environment) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with opened(tmp_path, SHIPPED) as instance:
        assert len(set(materialized(instance))) == 12

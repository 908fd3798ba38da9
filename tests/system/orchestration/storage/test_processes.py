"""Several processes write and watch one history in SQLite."""

import os
import queue
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from tests.support.orchestration.dagster_homes import SHIPPED_CONFIG
from tests.unit.orchestration.storage.test_sqlite_storage import (
    installed_version_is_tested,
    materialized_run_ids,
    open_instance,
)

__all__ = ["installed_version_is_tested"]

WRITER = """
import sys
import dagster as dg
import pytest
from tests.unit.orchestration.storage.test_sqlite_storage import JOB, PARTITIONED_JOB, QUIET, RANGE
with dg.DagsterInstance.get() as instance:
    for _ in range(4):
        JOB.execute_in_process(instance=instance, run_config=QUIET)
        PARTITIONED_JOB.execute_in_process(instance=instance, run_config=QUIET, tags=RANGE)
"""


@pytest.mark.usefixtures("installed_version_is_tested")
def test_processes_that_write_concurrently_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with open_instance(tmp_path, SHIPPED_CONFIG):
        pass
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "DAGSTER_EVENT_BATCH_SIZE": "50"}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER], env=environment) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        assert len(set(materialized_run_ids(instance))) == 12
        assert len(instance.fetch_materializations(dg.AssetKey("partitioned"), limit=100).records) == 12 * 3


SLOW = """
import sys
import time
from pathlib import Path
import dagster as dg
from tests.unit.orchestration.storage.test_sqlite_storage import QUIET

@dg.asset
def slow(context: dg.AssetExecutionContext) -> None:
    context.log.info("halfway")
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)

with dg.DagsterInstance.get() as instance:
    dg.materialize([slow], instance=instance, run_config=QUIET)
"""


@pytest.mark.usefixtures("installed_version_is_tested")
def test_watching_a_run_shows_its_events_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web server watches a run in the same way."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    seen: queue.Queue[str] = queue.Queue()
    with open_instance(tmp_path, SHIPPED_CONFIG) as instance:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        writer = subprocess.Popen([sys.executable, "-c", SLOW, tmp_path / "go_on"], env=environment)
        try:
            while not (runs := instance.get_runs()):
                assert writer.poll() is None
            instance.watch_event_logs(runs[0].run_id, None, lambda event, _: seen.put(event.user_message))
            while seen.get(timeout=300) != "halfway":
                pass
        finally:
            (tmp_path / "go_on").touch()
            assert writer.wait(60) == 0
        while seen.get(timeout=300) != 'Finished execution of run for "__ephemeral_asset_job__".':
            pass

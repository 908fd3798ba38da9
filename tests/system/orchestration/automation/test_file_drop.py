"""The real daemon watches a folder: searches find a file added there and lose a file deleted there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.errors import ServiceError
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.paths import ROOT
from tests.support.pipeline.runs import add_project
from tests.support.pipeline.stages import write

# Only catches hangs: a slow machine must not reach it.
TIMEOUT_S = 420


@pytest.fixture
def watched(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_model: object
) -> Iterator[Path]:
    """The folder of a project with two files; there are another project and a daemon with all sensors on."""
    monkeypatch.setenv("RAG_ASSETS_AUTOMATION", "true")
    monkeypatch.setenv("RAG_ASSETS_SENSOR_INTERVAL_S", "5")
    folder = tmp_path / "watched"
    write(folder / "zebra.md", "# Zebras\n\nZebras have stripes.\n")
    write(folder / "whale.md", "# Whales\n\nWhales sing in the deep sea.\n")
    add_project(engine, "watched", folder)
    write(tmp_path / "other" / "fern.md", "# Ferns\n\nFerns grow in the shade.\n")
    add_project(engine, "other", tmp_path / "other")
    log = tmp_path / "daemon.log"
    with log.open("w") as out:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-m", "rag_assets.definitions"],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    try:
        yield folder
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait(60)


def wait_until(condition: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        log = folder.with_name("daemon.log").read_text()
        assert time.monotonic() < deadline, f"not {what} within {TIMEOUT_S} s:\n{log[-4000:]}"
        time.sleep(1)


def test_an_added_file_is_found_and_a_deleted_one_is_gone(watched: Path, engine: Engine) -> None:
    retriever = Retriever(engine)

    def paths() -> set[str]:
        try:
            answer = retriever.search("Which animal builds dams of wood?", k=10, project="watched", mode="vector")
        except ServiceError:
            return set()  # No space is live yet.
        return {hit.file_path for hit in answer.hits}

    wait_until(lambda: paths() == {"zebra.md", "whale.md"}, "read at the start", watched)
    dropped = time.time()
    write(watched / "beaver.md", "# Beavers\n\nBeavers build dams of wood in rivers.\n")
    wait_until(lambda: "beaver.md" in paths(), "found", watched)
    best = retriever.search("Which animal builds dams of wood?", k=1, project="watched").hits[0]
    assert best.file_path == "beaver.md"
    assert count_ticks_since(dropped) <= 2, "the first or second tick requested the run"
    (watched / "whale.md").unlink()
    wait_until(lambda: paths() == {"zebra.md", "beaver.md"}, "gone", watched)
    runs = dg.DagsterInstance.get().get_runs()
    assert dg.DagsterRunStatus.FAILURE not in {run.status for run in runs}
    assert {run.job_name for run in runs} == {"ingest"}, "the ingest run triggers no other jobs"


def count_ticks_since(at: float) -> int:
    """The number of ticks of the sensor `changed_sources` after a time, up to the first that requested a run."""
    instance = dg.DagsterInstance.get()
    [state] = [found for found in instance.all_instigator_state() if found.instigator_name == "changed_sources"]
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    ended = sorted((tick for tick in ticks if (tick.end_timestamp or 0) > at), key=lambda tick: tick.timestamp)
    return 1 + [bool(tick.run_ids) for tick in ended].index(True)

"""A command whose run waits for a slot in a pool: it names the holder, and stops on timeout and on interrupt."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.cli.runtime.installation import instance
from rag_assets.definitions import defs
from rag_assets.orchestration.storage.dead_runs import PROCESS_TAG, process_tag
from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import add_project, fake_defs

CODE = (
    "from rag_assets.orchestration.storage.dead_runs import *; print(process_tag()[PROCESS_TAG], flush=True); input()"
)


def hold_slot(tags: dict[str, str]) -> dg.DagsterRun:
    """Start a run that holds the only slot of the pool."""
    run = instance().create_run_for_job(defs.resolve_job_def("ingest"), tags=tags, status=dg.DagsterRunStatus.STARTED)
    storage = instance().event_log_storage
    storage.initialize_concurrency_limit_to_default("embedder")
    assert storage.claim_concurrency_slot("embedder", run.run_id, "embeddings").is_claimed
    return run


def call_when_waiting(callback: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        while not instance().event_log_storage.get_concurrency_info("embedder").pending_run_ids:
            time.sleep(0.05)
        callback()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_command_waits_for_a_full_pool_and_then_names_the_holder(
    settings: Settings, engine: Engine, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_LOCK_WAIT_S", "1")
    run = hold_slot(process_tag())
    result = cli("ingest", folder, "--project", "zoo", "--json")
    assert result.code == 3, result.err
    holder = f"the run {run.run_id} (ingest, process {os.getpid()})"
    waits, failed = result.err.splitlines()
    assert waits == f"rag-assets: waiting for embedder, which is held by {holder}"
    assert failed.startswith(f"rag-assets: embedder has been held by {holder} for more than 1 s; wait for")
    assert instance().event_log_storage.get_concurrency_info("embedder").pending_run_ids == set()


def test_the_slot_of_a_killed_command_is_freed_while_waiting(
    settings: Settings, engine: Engine, folder: Path, cli: Cli
) -> None:
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        hold_slot({PROCESS_TAG: other.stdout.readline().decode().strip()})

        def kill() -> None:
            other.kill()
            other.wait()

        killer = call_when_waiting(kill)
        result = cli("ingest", folder, "--project", "zoo", "--json")
        killer.join()
    assert result.code == 0, result.err


def test_a_run_started_by_dagster_frees_the_slot_of_a_killed_command(
    settings: Settings, engine: Engine, folder: Path
) -> None:
    add_project(engine, "zoo", folder)
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        hold_slot({PROCESS_TAG: other.stdout.readline().decode().strip()})
        other.kill()
    job = fake_defs.resolve_job_def("ingest")
    assert job.execute_in_process(instance=instance(), partition_key="zoo", raise_on_error=False).success


def test_an_interrupt_stops_a_waiting_command(settings: Settings, engine: Engine, folder: Path, cli: Cli) -> None:
    run = hold_slot(process_tag())
    interrupter = call_when_waiting(lambda: os.kill(os.getpid(), signal.SIGINT))
    result = cli("ingest", folder, "--project", "zoo", "--json")
    interrupter.join()
    assert result.code == 130, result.err
    statuses = {found.run_id: found.status for found in instance().get_runs()}
    assert statuses.pop(run.run_id) == dg.DagsterRunStatus.STARTED
    assert set(statuses.values()) == {dg.DagsterRunStatus.CANCELED}

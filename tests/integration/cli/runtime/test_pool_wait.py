"""A command whose run has to wait for a place in a pool: says for whom, ends in time, and when it is told to."""

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
from tests.support.command_line import Cli
from tests.support.runs import add_project, fake_defs

CODE = (
    "from rag_assets.orchestration.storage.dead_runs import *; print(process_tag()[PROCESS_TAG], flush=True); input()"
)


def holding(tags: dict[str, str]) -> dg.DagsterRun:
    """A run that has the only place in the pool."""
    run = instance().create_run_for_job(defs.resolve_job_def("ingest"), tags=tags, status=dg.DagsterRunStatus.STARTED)
    storage = instance().event_log_storage
    storage.initialize_concurrency_limit_to_default("embedder")
    assert storage.claim_concurrency_slot("embedder", run.run_id, "embeddings").is_claimed
    return run


def when_it_waits(then: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        while not instance().event_log_storage.get_concurrency_info("embedder").pending_run_ids:
            time.sleep(0.05)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_pool_without_a_place_is_waited_for_and_then_said_to_be_whose(
    settings: Settings, engine: Engine, folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_LOCK_WAIT_S", "1")
    run = holding(process_tag())
    said = cli("ingest", folder, "--project", "zoo", "--json")
    assert said.code == 3, said.err
    holder = f"the run {run.run_id} (ingest, process {os.getpid()})"
    waits, failed = said.err.splitlines()
    assert waits == f"rag-assets: waiting for embedder, which is held by {holder}"
    assert failed.startswith(f"rag-assets: embedder has been held by {holder} for more than 1 s; wait for")
    assert instance().event_log_storage.get_concurrency_info("embedder").pending_run_ids == set()


def test_the_place_of_a_command_that_is_killed_meanwhile_is_taken(
    settings: Settings, engine: Engine, folder: Path, cli: Cli
) -> None:
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        holding({PROCESS_TAG: other.stdout.readline().decode().strip()})

        def kill() -> None:
            other.kill()
            other.wait()

        killing = when_it_waits(kill)
        said = cli("ingest", folder, "--project", "zoo", "--json")
        killing.join()
    assert said.code == 0, said.err


def test_a_run_that_no_command_of_ours_began_takes_it_too(settings: Settings, engine: Engine, folder: Path) -> None:
    add_project(engine, "zoo", folder)
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        holding({PROCESS_TAG: other.stdout.readline().decode().strip()})
        other.kill()
    job = fake_defs.resolve_job_def("ingest")
    assert job.execute_in_process(instance=instance(), partition_key="zoo", raise_on_error=False).success


def test_a_command_that_waits_ends_when_it_is_interrupted(
    settings: Settings, engine: Engine, folder: Path, cli: Cli
) -> None:
    run = holding(process_tag())
    interrupting = when_it_waits(lambda: os.kill(os.getpid(), signal.SIGINT))
    said = cli("ingest", folder, "--project", "zoo", "--json")
    interrupting.join()
    assert said.code == 130, said.err
    statuses = {found.run_id: found.status for found in instance().get_runs()}
    assert statuses.pop(run.run_id) == dg.DagsterRunStatus.STARTED
    assert set(statuses.values()) == {dg.DagsterRunStatus.CANCELED}

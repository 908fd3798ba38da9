"""Runs of killed commands: they are reported as failed or cancelled, and their slots in pools are freed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from rag_assets.cli.runtime.installation import instance
from rag_assets.definitions import defs
from rag_assets.orchestration.storage.dead_runs import PROCESS_TAG, close_dead_runs, process_tag
from rag_assets.settings.settings import Settings


def start_run(tags: dict[str, str]) -> dg.DagsterRun:
    return instance().create_run_for_job(defs.resolve_job_def("ingest"), tags=tags, status=dg.DagsterRunStatus.STARTED)


def status(run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance().get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def tag_of_ended_process() -> str:
    """The process tag of a process that has ended."""
    module = "rag_assets.orchestration.storage.dead_runs"
    code = f"from {module} import process_tag, PROCESS_TAG; print(process_tag()[PROCESS_TAG])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_run_of_an_ended_process_fails_and_frees_its_slot(settings: Settings) -> None:
    run = start_run({PROCESS_TAG: tag_of_ended_process()})
    storage = instance().event_log_storage
    storage.initialize_concurrency_limit_to_default("embedder")
    assert storage.claim_concurrency_slot("embedder", run.run_id, "embeddings").is_claimed
    other = start_run(process_tag())
    assert not storage.claim_concurrency_slot("embedder", other.run_id, "embeddings").is_claimed
    close_dead_runs(instance())
    assert status(run) == dg.DagsterRunStatus.FAILURE
    assert status(other) == dg.DagsterRunStatus.STARTED, "its process is the test process"
    assert storage.claim_concurrency_slot("embedder", other.run_id, "embeddings").is_claimed


def test_a_run_killed_during_cancellation_is_cancelled(settings: Settings) -> None:
    run = start_run({PROCESS_TAG: tag_of_ended_process()})
    instance().report_run_canceling(run)
    close_dead_runs(instance())
    assert status(run) == dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    "tag",
    ["elsewhere 1 1", f"{socket.gethostname()} {os.getpid()} 1", ""],
    ids=["another machine", "another process of that id", "a run that the daemon launched"],
)
def test_only_runs_of_dead_processes_of_this_machine_are_closed(settings: Settings, tag: str) -> None:
    run = start_run({PROCESS_TAG: tag} if tag else {})
    close_dead_runs(instance())
    reused = tag.startswith(socket.gethostname())
    assert status(run) == (dg.DagsterRunStatus.FAILURE if reused else dg.DagsterRunStatus.STARTED)


def test_the_shipped_dagster_yaml_limits_pools_and_frees_slots_of_dead_runs(settings: Settings) -> None:
    written = yaml.safe_load(Path(instance().root_directory, "dagster.yaml").read_text())
    assert written["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    pools = instance().get_concurrency_config().pool_config
    assert pools.default_pool_limit == 1
    assert instance().run_monitoring_enabled

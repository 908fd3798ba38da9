"""Ctrl-C in the middle of a command: one line on stderr, exit code 130, no partial rows; the next run continues."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.embedding_server.server import EmbeddingServer
from tests.support.orchestration.dagster_servers import BIN, TIMEOUT_S
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, STAGES, add_project, rows
from tests.support.pipeline.stages import write
from tests.system.launch.test_cancelling import WORKING

MESSAGE = "rag-assets: interrupted; what was written stays, and the next run continues from there.\n"
EMBEDDED = "SELECT count(*) FROM rag.embeddings"
TWO_RUNS = """
import sys
from rag_assets.cli import main
from rag_assets.cli.runtime.installation import enter
from rag_assets.cli.runtime.run_job import run_job
from rag_assets.db.database import shared_engine
shared_engine(enter())
def two(**_) -> None:
    for name in ("small", "zoo"):
        assert run_job("ingest", partition_key=name, only=sys.argv[1:]).success
main.app = two
# Like the installed command, exit at once without waiting for threads of the model.
main.run()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose documents make 600 short chunks."""
    for number in range(6):
        parts = [f"# Page {number}.{part}\n\n{'lion ' * part}{number}\n" for part in range(100)]
        write(tmp_path / "zoo" / f"{number}.md", "\n".join(parts))
    return tmp_path / "zoo"


def ingest_command(folder: Path) -> list[str]:
    return [str(BIN / "rag-assets"), "ingest", str(folder), "--json"]


def interrupt(command: Sequence[str], condition: Callable[[], object]) -> tuple[int, str, str]:
    """Run a command, interrupt it when the condition holds, and return its exit code, stdout and stderr."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that were started in the background would pass an ignored SIGINT on to their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


def run_statuses() -> list[str]:
    """The statuses of all runs, the oldest first."""
    return [run.status.value for run in reversed(dg.DagsterInstance.get().get_runs())]


def test_an_ingest_continues_where_it_was_interrupted(
    settings: Settings, engine: Engine, folder: Path, slow_model: EmbeddingServer
) -> None:
    assert interrupt(ingest_command(folder), lambda: rows(engine, EMBEDDED) != [(0,)]) == (130, "", MESSAGE)
    assert run_statuses() == ["CANCELED"]
    assert rows(engine, COUNT_ADVISORY_LOCKS) == [(0,)]
    assert rows(engine, WORKING) == []
    [(kept,)] = rows(engine, EMBEDDED)
    assert kept > 0
    slow_model.behaviours.clear()
    result = subprocess.run(ingest_command(folder), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["texts"]["embedded"] == report["texts"]["distinct"] - kept
    assert all(check["passed"] for check in report["checks"])
    assert run_statuses() == ["CANCELED", "SUCCESS"]


def test_only_the_current_one_of_several_runs_is_cancelled(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path
) -> None:
    write(tmp_path / "small" / "page.md", "# One page\n\nOne text.\n")
    add_project(engine, "small", tmp_path / "small")
    add_project(engine, "zoo", folder)
    command = [sys.executable, "-c", TWO_RUNS, *STAGES[:3]]
    assert interrupt(command, lambda: rows(engine, EMBEDDED) > [(1,)]) == (130, "", MESSAGE)
    assert run_statuses() == ["SUCCESS", "CANCELED"]
    canceled = dg.DagsterInstance.get().get_runs()[0]
    [ended] = dg.DagsterInstance.get().all_logs(canceled.run_id, of_type=dg.DagsterEventType.RUN_CANCELED)
    assert ended.get_dagster_event().job_name == "ingest"


def test_a_command_interrupted_at_its_start_reports_the_same(settings: Settings, folder: Path) -> None:
    home = Path(os.environ["DAGSTER_HOME"])
    (home / "dagster.yaml").unlink()
    # Each command writes this file first.
    assert interrupt(ingest_command(folder), (home / "dagster.yaml").exists) == (130, "", MESSAGE)
    assert not set(run_statuses()) - {"CANCELED"}

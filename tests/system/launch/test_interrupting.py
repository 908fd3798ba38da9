"""Ctrl-C in the middle of a command: one line and a code, nothing half-written, and the next run goes on from there."""

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
from tests.support.dagster_servers import BIN, TIMEOUT_S
from tests.support.runs import COUNT_ADVISORY_LOCKS, STAGES, add_project, rows
from tests.support.stages import write
from tests.system.launch.test_cancelling import WORKING

SAID = "rag-assets: interrupted; what was written stays, and the next run continues from there.\n"
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
# As the installed command ends: at once, past threads of the model that nobody waits for.
main.run()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """600 short chunks."""
    for number in range(6):
        parts = [f"# Page {number}.{part}\n\n{'lion ' * part}{number}\n" for part in range(100)]
        write(tmp_path / "zoo" / f"{number}.md", "\n".join(parts))
    return tmp_path / "zoo"


def ingest(folder: Path) -> list[str]:
    return [str(BIN / "rag-assets"), "ingest", str(folder), "--json"]


def interrupted(command: Sequence[str], when: Callable[[], object]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that is interrupted as soon as that holds."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background has their children ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        end = time.monotonic() + TIMEOUT_S
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


def runs() -> list[str]:
    """How the runs ended, in their order."""
    return [run.status.value for run in reversed(dg.DagsterInstance.get().get_runs())]


def test_an_ingest_goes_on_from_where_it_was_interrupted(settings: Settings, engine: Engine, folder: Path) -> None:
    assert interrupted(ingest(folder), lambda: rows(engine, EMBEDDED) != [(0,)]) == (130, "", SAID)
    assert runs() == ["CANCELED"]
    assert rows(engine, COUNT_ADVISORY_LOCKS) == [(0,)]
    assert rows(engine, WORKING) == []
    [(kept,)] = rows(engine, EMBEDDED)
    assert kept > 0
    said = subprocess.run(ingest(folder), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert report["texts"]["embedded"] == report["texts"]["distinct"] - kept
    assert all(check["passed"] for check in report["checks"])
    assert runs() == ["CANCELED", "SUCCESS"]


def test_of_several_runs_the_one_under_way_is_cancelled(
    settings: Settings, engine: Engine, folder: Path, tmp_path: Path
) -> None:
    write(tmp_path / "small" / "page.md", "# One page\n\nOne text.\n")
    add_project(engine, "small", tmp_path / "small")
    add_project(engine, "zoo", folder)
    command = [sys.executable, "-c", TWO_RUNS, *STAGES[:3]]
    assert interrupted(command, lambda: rows(engine, EMBEDDED) > [(1,)]) == (130, "", SAID)
    assert runs() == ["SUCCESS", "CANCELED"]
    canceled = dg.DagsterInstance.get().get_runs()[0]
    [ended] = dg.DagsterInstance.get().all_logs(canceled.run_id, of_type=dg.DagsterEventType.RUN_CANCELED)
    assert ended.get_dagster_event().job_name == "ingest"


def test_a_command_that_has_hardly_begun_says_the_same(settings: Settings, folder: Path) -> None:
    home = Path(os.environ["DAGSTER_HOME"])
    (home / "dagster.yaml").unlink()
    # Written by each command, first of all.
    assert interrupted(ingest(folder), (home / "dagster.yaml").exists) == (130, "", SAID)
    assert not set(runs()) - {"CANCELED"}

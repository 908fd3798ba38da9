"""Ctrl-C in the middle of a command: one line and a code, nothing half-written, and the next run goes on from there."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.settings import Settings
from tests.launch.servers import BIN, LIMIT_S
from tests.launch.test_cancelling import LOCKS, WORKING
from tests.running import rows
from tests.stages.stepping import write

SAID = "rag-assets: interrupted; what was written stays, and running again goes on from there.\n"
EMBEDDED = "SELECT count(*) FROM rag.embeddings"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """600 short chunks."""
    for number in range(6):
        parts = [f"# Page {number}.{part}\n\n{'lion ' * part}{number}\n" for part in range(100)]
        write(tmp_path / "zoo" / f"{number}.md", "\n".join(parts))
    return tmp_path / "zoo"


def interrupted(folder: Path, when: Callable[[], object]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of an ingest that is interrupted as soon as that holds."""
    process = subprocess.Popen(
        [BIN / "rag-assets", "ingest", folder, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever starts the tests in the background has their children ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        end = time.monotonic() + LIMIT_S
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


@pytest.mark.slow
def test_an_ingest_goes_on_from_where_it_was_interrupted(settings: Settings, engine: Engine, folder: Path) -> None:
    assert interrupted(folder, lambda: rows(engine, EMBEDDED) != [(0,)]) == (130, "", SAID)
    assert rows(engine, LOCKS) == [(0,)]
    assert rows(engine, WORKING) == []
    [(kept,)] = rows(engine, EMBEDDED)
    assert kept > 0
    said = subprocess.run(
        [BIN / "rag-assets", "ingest", folder, "--json"], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert report["texts"]["embedded"] == report["texts"]["distinct"] - kept
    assert all(check["passed"] for check in report["checks"])


def test_a_command_that_has_hardly_begun_says_the_same(settings: Settings, folder: Path) -> None:
    home = Path(os.environ["DAGSTER_HOME"])
    (home / "dagster.yaml").unlink()
    # Written by each command, first of all.
    assert interrupted(folder, (home / "dagster.yaml").exists) == (130, "", SAID)

"""Run `rag-assets ui` as users do: a process in its own installation, ended by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rag_assets.db.server.server import EmbeddedServer
from tests.support.orchestration.dagster_servers import free_port
from tests.support.paths import ROOT

COMMAND = Path(sys.executable).with_name("rag-assets")
# These only catch hangs: a slow machine must not reach them.
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class RunningUI:
    """A UI that answers. `env` is the environment of its installation, for other commands."""

    address: str
    env: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]

    def run_command(self, *arguments: str | Path) -> str:
        """Run another rag-assets command in the same installation, check that it succeeds, and return its stdout."""
        result = subprocess.run(
            [COMMAND, *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=900, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout


@contextmanager
def run_ui(root: Path, **settings: str) -> Iterator[RunningUI]:
    """Run the UI on an empty state below `root`, with an embedded server; both are stopped at the end."""
    state = root / "state"
    # Without the variables of the tests and of a developer's own installation.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAG_ASSETS_", "DAGSTER_"))}
    env |= {"RAG_ASSETS_STATE_DIR": str(state), "PYTHONPATH": str(ROOT), **settings}
    port = free_port()
    log = root / "ui.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [COMMAND, "ui", "--port", str(port)],
            env=env,
            cwd=root,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Background processes of a shell ignore SIGINT, and their children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    served = RunningUI(f"http://127.0.0.1:{port}", env, log, process)
    try:
        wait_until_ready(served)
        yield served
    finally:
        stopped = stop(process)
        EmbeddedServer.at(state).stop()
    assert stopped, f"Ctrl-C did not end rag-assets ui in {STOP_TIMEOUT_S} s:\n{log.read_text()[-4000:]}"


def wait_until_ready(served: RunningUI) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        assert served.process.poll() is None, served.log.read_text()
        assert time.monotonic() < end, f"no answer in {START_TIMEOUT_S} s:\n{served.log.read_text()[-4000:]}"
        try:
            with urllib.request.urlopen(f"{served.address}/server_info", timeout=10) as answer:
                assert answer.status == 200
            return
        except OSError:
            time.sleep(0.2)


def stop(process: subprocess.Popen[bytes]) -> bool:
    """Send SIGINT to the process group, as Ctrl-C in a terminal does. Returns False if it had to be killed."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)
        return False
    return True

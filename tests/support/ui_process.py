"""`rag-assets ui` as people start it: a process of its own in an installation of its own, ended by Ctrl-C."""

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
from tests.support.dagster_servers import free_port
from tests.support.paths import ROOT

COMMAND = Path(sys.executable).with_name("rag-assets")
# Limits for what hangs, not for what is slow.
STARTING_S = 180
ENDING_S = 60


@dataclass(frozen=True)
class RunningUI:
    """A UI that answers; `env` is the installation's, for other commands and connections."""

    address: str
    env: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]

    def run_command(self, *arguments: str | Path) -> str:
        """What another command of ours in the same installation says on stdout; it must end well."""
        said = subprocess.run(
            [COMMAND, *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=300, check=False
        )
        assert said.returncode == 0, said.stderr
        return said.stdout


@contextmanager
def run_ui(root: Path, **settings: str) -> Iterator[RunningUI]:
    """The UI on an empty state below `root`, with an embedded server; nothing of it is left running."""
    state = root / "state"
    # By what the tests take from the environment, and no more: an installation that a developer has is not meant.
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
            # A shell's background processes ignore Ctrl-C, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    served = RunningUI(f"http://127.0.0.1:{port}", env, log, process)
    try:
        wait_until_ready(served)
        yield served
    finally:
        ended = stop(process)
        EmbeddedServer.at(state).stop()
    assert ended, f"Ctrl-C did not end it in {ENDING_S} s:\n{log.read_text()[-4000:]}"


def wait_until_ready(served: RunningUI) -> None:
    end = time.monotonic() + STARTING_S
    while True:
        assert served.process.poll() is None, served.log.read_text()
        assert time.monotonic() < end, f"no answer in {STARTING_S} s:\n{served.log.read_text()[-4000:]}"
        try:
            with urllib.request.urlopen(f"{served.address}/server_info", timeout=10) as answer:
                assert answer.status == 200
            return
        except OSError:
            time.sleep(0.2)


def stop(process: subprocess.Popen[bytes]) -> bool:
    """As Ctrl-C does, which goes to all processes of the terminal; False where it had to be killed."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(ENDING_S)
        return False
    return True

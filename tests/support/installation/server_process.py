"""Run `rag-assets serve` as users do: a process of its own, on a free port, ended by a signal."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("rag-assets")
# These only catch hangs: a slow machine must not reach them.
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class RunningServer:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def running_web_server(root: Path, *options: str, wait_for: str = "/readyz") -> Iterator[RunningServer]:
    """A server of the installation of the environment that answers there; it is stopped at the end."""
    log = root / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen([COMMAND, "serve", "--port", "0", *options], stderr=out, stdout=subprocess.DEVNULL)
    try:
        yield _wait_until_ready(process, log, wait_for)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, path: str) -> RunningServer:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        urls = [line for line in log.read_text().splitlines() if line.startswith("http")]
        if urls:
            found = RunningServer(urls[0], process, log)
            if found.status(path) == 200:
                return found
        time.sleep(0.1)
    raise AssertionError(f"not ready in {START_TIMEOUT_S} s: {log.read_text()}")

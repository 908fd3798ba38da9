"""Start Dagster's web server and daemon, and query them over GraphQL as the UI does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

BIN = Path(sys.executable).parent
PARSER = "rag_assets.documents.parsing.subprocess_worker"
# Only catches hangs: a slow machine must not reach it.
TIMEOUT_S = 240

LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
TERMINATE = """mutation($run: String!) { terminateRun(runId: $run) { __typename
  ... on TerminateRunFailure { message } } }"""
RUN = """query($run: ID!) { runOrError(runId: $run) { ... on Run { status
  assetMaterializations { assetKey { path } partition } } } }"""
BACKFILL_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status
  error { message } runs { runId status } assetBackfillData { assetBackfillStatuses { __typename
    ... on AssetPartitionsStatusCounts { assetKey { path } numPartitionsMaterialized numPartitionsFailed }
    ... on UnpartitionedAssetStatus { assetKey { path } materialized failed } } } } } }"""
PARTITIONS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numFailed }
  assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } }"""


class Server:
    """A running web server with its daemon, in an installation that nothing else uses."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.log = log
        self._address = f"http://127.0.0.1:{port}/graphql"

    def query(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self._address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        [data] = found["data"].values()
        return data

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Poll `condition` until its result is truthy, and return the result."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.log_tail()
            time.sleep(0.1)
        raise AssertionError(f"no {what} within {TIMEOUT_S} s:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return self.log.read_text()[-6000:]

    def launch(self, assets: Sequence[str], *, partition: str | None = None, tags: Mapping[str, str] = {}) -> str:
        """Materialize the assets as the button in the UI does; return the id of the run."""
        tags = {**tags, **({"dagster/partition": partition} if partition else {})}
        params = {
            "selector": {
                "repositoryLocationName": self.location_name(),
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": [name]} for name in assets],
            },
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        found = self.query(LAUNCH, params=params)
        assert found["__typename"] == "LaunchRunSuccess", found
        return str(found["run"]["runId"])

    def location_name(self) -> str:
        [entry] = self.query(LOCATIONS)["locationEntries"]
        assert entry["locationOrLoadError"]["__typename"] == "RepositoryLocation", entry
        return str(entry["name"])

    def wait_for_run(self, run: str) -> str:
        """Wait for the end of a run and return its status."""
        final = {"SUCCESS", "FAILURE", "CANCELED"}
        return str(
            self.wait_until(
                lambda: (found := self.query(RUN, run=run)["status"]) in final and found, f"end of run {run}"
            )
        )

    def launch_backfill(self, **params: Any) -> str:
        """Launch a backfill and return its id. The daemon starts it: it polls every 30 s."""
        launched = self.query(BACKFILL, params=params)
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def wait_for_backfill(self, backfill: str) -> Any:
        """Wait for the end of a backfill and return the data of its page."""

        def finished() -> Any:
            found = self.query(BACKFILL_STATUS, id=backfill)
            return found["status"] not in ("REQUESTED", "FAILING", "CANCELING") and found

        return self.wait_until(finished, "the end of the backfill")

    def partitions(self, asset: str) -> dict[str, list[str]]:
        """The materialized and the failed partitions of an asset, as the UI shows them."""
        found = self.query(PARTITIONS, key={"path": [asset]})["assetPartitionStatuses"]
        return {name: sorted(found[f"{name}Partitions"]) for name in ("materialized", "failed")}


@contextmanager
def run_server(
    command: Sequence[str],
    log: Path,
    *,
    end: signal.Signals = signal.SIGINT,
    background: bool = False,
    prefix: Callable[[Sequence[str]], Sequence[str]] = lambda command: command,
) -> Iterator[Server]:
    """Run a command that starts the web server, in the repository's root; end it by the signal `end`.

    `background` starts it with SIGINT ignored, as a shell script does for its background processes. `prefix` puts
    another command before it.
    """
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            prefix([str(BIN / command[0]), *command[1:], "--port", str(port)]),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests that were started in the background would pass an ignored SIGINT on to their children.
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.SIG_IGN if background else signal.default_int_handler
            ),
        )
    server = Server(process, port, log)
    try:
        server.wait_until(lambda: server.query("{ version }"), "answer")
        server.wait_until(
            lambda: all(entry["loadStatus"] == "LOADED" for entry in server.query(LOCATIONS)["locationEntries"]),
            "loaded code location",
        )
        yield server
        process.send_signal(end)
        process.wait(60)
    finally:
        left = wait_until_processes_end()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        process.wait(60)
    assert not left, f"processes still running: {left}\n{server.log_tail()}"


def find_installation_processes() -> dict[int, str]:
    """The processes whose DAGSTER_HOME is the current one, and their parsers: process id and command."""
    mark = f"DAGSTER_HOME={os.environ['DAGSTER_HOME']}\0".encode()
    found: dict[int, str] = {}
    parsers: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            # A zombie, which has ended and was not waited for yet, has no command line.
            if folder.name.isdigit() and (command := (folder / "cmdline").read_text(errors="replace")):
                words = command.rstrip("\0").split("\0")
                if mark in (folder / "environ").read_bytes():
                    found[int(folder.name)] = " ".join(words)
                elif PARSER in words:
                    parsers[int(folder.name)] = words
    # A parser has an environment of its own, and names its parent in its arguments.
    for pid, words in parsers.items():
        parent = words[words.index(PARSER) + 1]
        if int(parent) in found or not Path("/proc", parent).exists():
            found[pid] = " ".join(words)
    return found


def wait_until_processes_end(limit_s: float = 30) -> dict[int, str]:
    """Wait until all processes of the installation have ended; return those that still run after the limit."""
    deadline = time.monotonic() + limit_s
    while (left := find_installation_processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Processes that run the ingest job and are killed with SIGKILL at a chosen statement.

`python -m tests.support.pipeline.crashes` imports everything once, then forks a child for each line of JSON on stdin,
and answers with the child's process id and exit status. No thread is ever started in the process that forks.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag_assets.orchestration.storage.dead_runs import process_tag
from tests.support.paths import ROOT


@dataclass(frozen=True)
class ChildRun:
    """A run for one project in the installation of `env`, killed at the nth statement that matches `kill_at`."""

    project: str
    env: dict[str, str]
    log: str
    kill_at: str | None = None
    nth: int = 1
    moment: str = "before"  # or "after" the statement, or "committed"
    encode_s: float = 0.0
    refused: str | None = None  # The model raises for a text that this pattern finds.
    job: str = "stages"  # "all" also promotes the space; "messages" embeds the messages of the days in `project`


@dataclass(frozen=True)
class ChildResult:
    pid: int
    killed: bool
    errors: list[str]


class Forker:
    """The process that forks children, and the requests sent to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.pipeline.crashes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def run(self, *children: ChildRun, timeout_s: float = 90) -> list[ChildResult]:
        """Run the children at the same time and wait for all; a child that times out gets an error in its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"timeout_s": timeout_s, "children": [asdict(child) for child in children]}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        return [ChildResult(**found) for found in json.loads(line)]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(300)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def start_forker() -> Iterator[Forker]:
    forker = Forker()
    try:
        yield forker
    finally:
        forker.close()


def materialize(project: str, job: str) -> Any:
    """Run the assets in this process, without the checks, which take most of the time."""
    import dagster as dg

    from tests.support.pipeline.runs import STAGES, fake_defs, open_command_instance

    if job == "messages":
        return _materialize_messages(project)
    names = STAGES if job == "stages" else (*STAGES, "live_space")
    selection = dg.AssetSelection.assets(*names) - dg.AssetSelection.all_asset_checks()
    defs = dg.Definitions(
        assets=fake_defs.assets, resources=fake_defs.resources, jobs=[dg.define_asset_job(job, selection=selection)]
    )
    return defs.resolve_job_def(job).execute_in_process(
        instance=open_command_instance(),
        partition_key=project,
        tags=process_tag(),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def _materialize_messages(days: str) -> Any:
    """Same as `materialize`, for the messages of a range of days, `first...last`."""
    import dagster as dg

    from tests.support.pipeline.runs import fake_defs, open_command_instance

    selection = dg.AssetSelection.assets("message_embeddings", "message_index") - dg.AssetSelection.all_asset_checks()
    defs = dg.Definitions(
        assets=fake_defs.assets,
        resources=fake_defs.resources,
        jobs=[dg.define_asset_job("messages", selection=selection)],
    )
    first, last = days.split("...")
    return defs.resolve_job_def("messages").execute_in_process(
        instance=open_command_instance(),
        tags=process_tag() | {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def _serve() -> None:
    import tests.support.pipeline.runs  # noqa: F401  Imported once here, before the children are forked.

    for line in sys.stdin:
        request = json.loads(line)
        children = request["children"]
        pids = [_fork(ChildRun(**child)) for child in children]
        answer = [_wait(pid, child["log"], request["timeout_s"]) for pid, child in zip(pids, children, strict=True)]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(child: ChildRun) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ.update(child.env)
        _run(child)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _wait(pid: int, log: str, timeout_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    errors = Path(f"{log}.{pid}")
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return {"pid": pid, "killed": False, "errors": [f"the child did not end within {timeout_s} s"]}
        time.sleep(0.02)
    found = json.loads(errors.read_text()) if errors.exists() else []
    errors.unlink(missing_ok=True)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"pid": pid, "killed": killed, "errors": found or ([] if killed or not status else [f"status {status}"])}


def _run(child: ChildRun) -> None:
    import dagster as dg

    from tests.support import fakes
    from tests.support.pipeline.runs import errors

    log = os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class LoggingEncoder(fakes.HashEncoder):
        def encode(self, texts: Any) -> Any:
            time.sleep(child.encode_s)
            if child.refused and any(re.search(child.refused, text) for text in texts):
                raise RuntimeError("the model is away")
            vectors = super().encode(texts)
            # One write per batch, before the vectors are used: the log is complete even if this process is killed next.
            os.write(log, b"".join(json.dumps(text).encode() + b"\n" for text in texts))
            return vectors

    fakes.HashEncoder = LoggingEncoder  # type: ignore[misc]
    if child.kill_at:
        _kill_at_statement(child)
    result = materialize(child.project, child.job)
    found = errors(result)
    Path(f"{child.log}.{os.getpid()}").write_text(json.dumps(found))
    dg.DagsterInstance.get().dispose()


def _kill_at_statement(child: ChildRun) -> None:
    """Patch the driver so that this process is killed at the nth matching statement, in any thread."""
    import psycopg
    from psycopg import sql

    pattern = re.compile(child.kill_at or "", re.IGNORECASE | re.DOTALL)
    seen = 0
    hit = False

    def matches(connection: Any, query: Any) -> bool:
        nonlocal seen, hit
        statement = query.as_string(connection) if isinstance(query, sql.Composable) else query
        statement = statement.decode() if isinstance(statement, bytes) else statement
        if pattern.search(statement):
            seen += 1
            hit = seen >= child.nth
            return hit
        return False

    def kill_if(condition: bool) -> None:
        if condition:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    execute = psycopg.Cursor.execute

    def execute_and_kill(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        matched = matches(self.connection, query)
        kill_if(matched and child.moment == "before")
        cursor = execute(self, query, *arguments, **options)
        kill_if(matched and child.moment == "after")
        return cursor

    commit = psycopg.Connection.commit

    def commit_and_kill(self: Any) -> None:
        commit(self)
        kill_if(hit and child.moment == "committed")

    psycopg.Cursor.execute = execute_and_kill  # type: ignore[method-assign]
    psycopg.Connection.commit = commit_and_kill  # type: ignore[method-assign]


if __name__ == "__main__":
    _serve()

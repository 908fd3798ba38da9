"""Processes that run one `rag-assets` command each.

`python -m tests.torture.worker` imports everything once, then forks a process for each command that it is asked for, so
that a command starts in milliseconds. No thread is ever started in the process that forks.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
# More than there are texts, so that the latency check has its probe; 10,000 would take most of the time.
MEASURED_VECTORS = 450
# Only catches hangs: on a busy machine the process needs half a minute to end.
CLOSE_TIMEOUT_S = 300
IMPORTED = (
    *("rag_assets.cli.main", "rag_assets.definitions", "rag_assets.documents.parsing.parser"),
    *("rag_assets.pipeline.refresh", "rag_assets.pipeline.stages.live_space", "rag_assets.search.retriever"),
    *("alembic.command", "numpy", "psycopg", "pyarrow", "rich.progress", "rich.table"),
)


@dataclass(frozen=True)
class Command:
    """A command with its environment; `folder` gets its output, its temporary files and the list of embedded texts."""

    arguments: tuple[str, ...]
    env: dict[str, str]
    folder: str
    encode_s: float = 0.0
    copy_row_s: float = 0.0
    read_s: float = 0.0


@dataclass(frozen=True)
class Ended:
    """`code` is the exit code, or the signal as a negative number; None if it did not end in time."""

    code: int | None
    out: str
    err: str


class Forker:
    """The process that forks commands, and the requests sent to it."""

    def __init__(self) -> None:
        env = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def start(self, command: Command) -> "Running":
        return Running(self, command, self._ask({"start": asdict(command)})["pid"])

    def wait(self, pid: int, timeout_s: float) -> int | None:
        code: int | None = self._ask({"wait": pid, "timeout_s": timeout_s})["code"]
        return code

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(CLOSE_TIMEOUT_S)
        self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass(frozen=True)
class Running:
    forker: Forker
    command: Command
    pid: int

    def has_ended(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
        except OSError:
            return True

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout_s: float = 120) -> Ended:
        code = self.forker.wait(self.pid, timeout_s)
        folder = Path(self.command.folder)
        return Ended(code, (folder / "out").read_text(), (folder / "err").read_text())

    def children(self) -> list[int]:
        """Processes that it started and that still run; each command has a session of its own."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                state, _, _, session = stat.read_text().rpartition(") ")[2].split()[:4]
                if int(session) == self.pid and int(stat.parent.name) != self.pid and state not in "ZX":
                    found.append(int(stat.parent.name))
        return found


def embedded_batches(log: Path) -> list[list[str]]:
    """The texts that the commands of a folder have embedded, batch by batch, from the file `embedded` in it."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def _serve() -> None:
    _import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer: dict[str, Any] = {"pid": _fork(Command(**request["start"]))}
        else:
            answer = {"code": _wait(request["wait"], request["timeout_s"])}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _import_everything() -> None:
    for name in IMPORTED:
        importlib.import_module(name)


def _fork(command: Command) -> int:
    pid = os.fork()
    if pid:
        return pid
    code: Any = 1
    try:
        os.setsid()
        _redirect(Path(command.folder))
        code = _run(command)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _redirect(folder: Path) -> None:
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115


def _run(command: Command) -> Any:
    folder = Path(command.folder)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("RAG_ASSETS_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ.update(command.env, TMPDIR=str(temporary))
    os.chdir(folder)
    _use_counting_encoder(folder / "embedded", command.encode_s)
    _slow_down(command)
    sys.argv = ["rag-assets", *command.arguments]
    from rag_assets.cli.main import main

    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


def _use_counting_encoder(log: Path, encode_s: float) -> None:
    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.pipeline.audit import latency
    from rag_assets.search.execution import query_embedding
    from rag_assets.testing import HashEncoder
    from rag_assets.testing import encoder as hash_encoder

    hash_encoder._direction = cache(hash_encoder._direction)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class CountingEncoder(HashEncoder):
        def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
            time.sleep(encode_s)
            vectors = super().encode(texts)
            # One write for a batch, before its vectors are used: complete even if this process is killed next.
            os.write(descriptor, json.dumps(list(texts)).encode() + b"\n")
            return vectors

    def encoder(_embedder: Embedder, space: Any) -> CountingEncoder:
        return CountingEncoder(space.dimensions)

    Embedder.encoder = encoder  # type: ignore[method-assign, assignment]
    query_embedding.get_space_encoder = lambda space, *_: HashEncoder(space.dimensions)  # type: ignore[attr-defined]
    latency.MEASURED_VECTORS = MEASURED_VECTORS


def _slow_down(command: Command) -> None:
    """Make the client slow where the server would be done before anybody can look at it."""
    import psycopg

    from rag_assets.documents.sources.local import FolderSource

    write_row, read = psycopg.Copy.write_row, FolderSource.read

    def write_slowly(self: Any, row: Any) -> None:
        time.sleep(command.copy_row_s)
        write_row(self, row)

    def read_slowly(self: Any, *arguments: Any, **options: Any) -> Any:
        time.sleep(command.read_s)
        return read(self, *arguments, **options)

    if command.copy_row_s:
        psycopg.Copy.write_row = write_slowly  # type: ignore[method-assign]
    if command.read_s:
        FolderSource.read = read_slowly  # type: ignore[method-assign]


def _wait(pid: int, timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.02)


if __name__ == "__main__":
    _serve()

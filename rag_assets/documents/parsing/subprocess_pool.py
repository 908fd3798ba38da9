"""A child process that parses one document at a time, with limits on time and memory."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from rag_assets.documents.parsing.parse_report import Attachment
from rag_assets.documents.parsing.subprocess_worker import LENGTHS
from rag_assets.errors import DocumentError

_WATCH_INTERVAL_S = 0.02
_PIPE_BYTES = 1024 * 1024
_MIB = 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


# Where programs and libraries are, the locale, the number of threads; and what measures coverage.
_PASSED_ON = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"})
_PASSED_ON_PREFIXES = ("LC_", "PYTHON", "OMP_", "COVERAGE_", "COV_CORE_")


class _PipeClosed(Exception):  # noqa: N818
    """The child closed its end of a pipe."""


class ParserProcess:
    """A child process that is started for the first document, reused for the next ones, and replaced after a failure.

    Not thread-safe. Use it in one thread that outlives it: on Linux the child dies with the *thread* that started it.
    """

    def __init__(self, *, timeout_s: float, memory_mb: int, max_bytes: int, module: str) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._max_bytes = max_bytes
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._closed = False

    def parse(self, kind: str, data: bytes) -> dict[str, Any]:
        """The child's answer: {"title", "content", "metadata", "report", "attachments"}. Raises DocumentError."""
        process = self._ensure_started()
        request = json.dumps({"kind": kind, "size": len(data)}).encode() + b"\n"
        reusable = False
        try:
            answer = self._exchange(process, request, data)
            # A child that gave up, or that still holds much memory, is replaced.
            reusable = not answer.get("last") and _resident_bytes(process.pid) < self._memory_mb * _MIB // 2
        except _PipeClosed:
            raise DocumentError(self._cause_of_death(process)) from None
        finally:
            if not reusable:
                self.stop()
        if "memory" in answer:
            raise DocumentError(self._too_much_memory())
        if "reason" in answer:
            raise DocumentError(answer["reason"])
        return answer

    def stop(self) -> None:
        """Kill the child, if there is one; the next document starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, self._stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if self._folder is not None:
            self._folder.cleanup()

    def close(self) -> None:
        """Stop for good; may be called from another thread while a document is being parsed."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()

    def _ensure_started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._folder = tempfile.TemporaryDirectory(prefix="rag-assets-parser-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(  # noqa: S603
            # -P keeps files in the working directory from shadowing modules.
            [sys.executable, "-P", "-m", self._module, str(os.getpid()), str(self._memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(self._folder.name),
            cwd=self._folder.name,
            start_new_session=True,
            bufsize=0,
        )
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        if self._closed:
            self._process.kill()
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes, data: bytes) -> dict[str, Any]:
        """Send the request and receive the answer, under one deadline and while watching the child's memory.

        Sending and receiving take turns: a child that writes before it has read everything would block otherwise.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin.fileno(), process.stdout.fileno()
        deadline = time.monotonic() + self._timeout_s
        pending = [memoryview(request), memoryview(data)]
        answer = bytearray()
        wanted, head_end, content_end = LENGTHS.size, 0, 0
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        poll.register(stdin, select.POLLOUT)
        while len(answer) < wanted:
            events = dict(poll.poll(1000 * _WATCH_INTERVAL_S))
            if stdin in events and pending:
                pending = self._send(stdin, pending)
                if not pending:
                    poll.unregister(stdin)
            if stdout in events:
                answer += self._receive(stdout, wanted - len(answer))
                if not head_end and len(answer) == wanted:
                    head_bytes, content_bytes, attachment_bytes = LENGTHS.unpack(answer)
                    if not head_bytes:
                        # A sign of life: the recognition of a page has its time, not that of the whole document.
                        answer.clear()
                        deadline = time.monotonic() + self._timeout_s
                        continue
                    if content_bytes > self._max_bytes or head_bytes > 16 * _MIB:
                        raise DocumentError(f"its text is longer than {self._max_bytes / _MIB:g} MB")
                    if attachment_bytes > self._max_bytes:
                        raise DocumentError(f"its attachments have more than {self._max_bytes / _MIB:g} MB")
                    head_end = wanted + head_bytes
                    content_end = head_end + content_bytes
                    wanted = content_end + attachment_bytes
            if _resident_bytes(process.pid) > self._memory_mb * _MIB:
                raise DocumentError(self._too_much_memory())
            if time.monotonic() > deadline:
                raise DocumentError(f"the parser did not finish within {self._timeout_s:g} s")
        found: dict[str, Any] = json.loads(answer[LENGTHS.size : head_end])
        attachments = []
        for name, size in found.get("attachments", ()):
            attachments.append(Attachment(name, bytes(answer[content_end : content_end + size])))
            content_end += size
        content = answer[head_end : len(answer) - sum(len(file.data) for file in attachments)]
        return found | {"content": content.decode("utf-8", "surrogatepass"), "attachments": attachments}

    @staticmethod
    def _send(stdin: int, pending: list[memoryview]) -> list[memoryview]:
        try:
            sent = os.write(stdin, pending[0][:_PIPE_BYTES])
        except BlockingIOError:
            return pending
        except BrokenPipeError:
            raise _PipeClosed from None
        rest = pending[0][sent:]
        return [rest, *pending[1:]] if rest else [part for part in pending[1:] if part]

    @staticmethod
    def _receive(stdout: int, wanted: int) -> bytes:
        try:
            received = os.read(stdout, min(wanted, _PIPE_BYTES))
        except BlockingIOError:
            return b""
        if not received:
            raise _PipeClosed
        return received

    def _too_much_memory(self) -> str:
        return f"the parser used more than {self._memory_mb} MB"

    def _cause_of_death(self, process: subprocess.Popen[bytes]) -> str:
        if self._closed:
            return "the parser was closed while this document was being parsed"
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the parser closed its pipes"
        message = self._stderr_tail()
        # Rust and C++ report with these words that the limit on the address space was reached.
        if any(words in message for words in ("memory allocation of", "bad_alloc", "MemoryError")):
            return self._too_much_memory()
        if code < 0:
            return f"the parser died of signal {-code} ({signal.Signals(-code).name})"
        return f"the parser ended with exit code {code}" + (f": {message}" if code and message else "")

    def _stderr_tail(self) -> str:
        if self._stderr is None:
            return ""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 2000))
        return " ".join(self._stderr.read().decode("utf-8", "replace").split())[-300:]


def _environment(folder: str) -> dict[str, str]:
    """What a parser needs, and nothing that a hostile document could want: no address, no token, no home."""
    passed_on = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return passed_on | {
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONPATH": os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path),
        "PYTHONUTF8": "1",
        "PYTHONWARNINGS": "ignore",
        # Without it, each thread reserves 64 MiB of the limited address space.
        "MALLOC_ARENA_MAX": "2",
    }


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        # No /proc on this system, or the child has just ended. The limit on the address space still applies.
        return 0

"""The lock that shows whether any process of a server lives, and how it is acquired."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rag_assets.db.server import process
from rag_assets.errors import ServiceError

_ORPHAN_TIMEOUT_S = 5
_POLL_INTERVAL_S = 0.02

_descriptors: set[int] = set()


def _close_inherited() -> None:
    """A child that is forked during a start would otherwise hold the lock as long as it lives."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_close_inherited)


@dataclass(slots=True)
class ServerLock:
    """A file lock on `path`, which the process that starts a server holds and every process of the server inherits.

    The kernel releases it when the last of them is gone, however it died: unlike a pid file, it cannot be stale.
    """

    path: Path
    data: Path
    signalled: set[int] = field(default_factory=set)  # ids of the processes that were told to stop
    _descriptor: int = -1

    @property
    def descriptor(self) -> int:
        """The file descriptor that the server's processes must inherit."""
        return self._descriptor

    @contextlib.contextmanager
    def wait_for_server_or_lock(self, timeout_s: float) -> Iterator[process.PidFile | None]:
        """Yield the server that answers, or None, with the lock held, when none lives."""
        with self._open():
            yield self._wait(timeout_s, stop=False)

    @contextlib.contextmanager
    def stop_server(self, timeout_s: float) -> Iterator[None]:
        """Stop the server, and hold the lock when all its processes have ended."""
        with self._open():
            self._wait(timeout_s, stop=True)
            yield

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        _descriptors.add(self._descriptor)
        try:
            yield
        finally:
            _descriptors.discard(self._descriptor)
            os.close(self._descriptor)

    def _wait(self, timeout_s: float, *, stop: bool) -> process.PidFile | None:
        begin = time.monotonic()
        while True:
            found = process.find_living(self.data)
            if found and not stop and (answering := process.find_answering(self.data)):
                return answering
            if found and found.pid not in self.signalled and (stop or self._is_unreachable(found)):
                self._signal(found)
            if not found and self._try_lock():
                # A server that somebody started by hand does not hold the lock.
                return None if stop else process.find_answering(self.data)
            waited_s = time.monotonic() - begin
            if not found and waited_s > _ORPHAN_TIMEOUT_S:
                self._kill_orphans()
            if waited_s > timeout_s:
                holder = f"process {found.pid}" if found else "a process that cannot be seen from here"
                raise ServiceError(
                    f"the embedded server of {self.data} did not {'stop' if stop else 'become ready'} "
                    f"within {timeout_s:g} s, and {holder} holds its lock: end that process, and try again"
                )
            time.sleep(_POLL_INTERVAL_S)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _signal(self, found: process.PidFile) -> None:
        self.signalled.add(found.pid)
        # A server writes its last checkpoint to the path that it was started with. If the folder was moved, that
        # path may be another server's: stop without a checkpoint, and the next start recovers from the log.
        stop_signal = signal.SIGINT if found.data == self.data else signal.SIGQUIT
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, stop_signal)

    def _kill_orphans(self) -> None:
        # Nothing is lost: the next start recovers committed data from the log.
        for pid in process.find_orphans(self.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _is_unreachable(self, found: process.PidFile) -> bool:
        """Whether nothing can connect to a ready server: its socket was deleted, or its folder moved."""
        moved = found.data != self.data
        if not found.ready or (not moved and process.socket_path(found.socket_dir).exists()):
            return False
        if not process.has_same_mounts(found.pid):
            raise ServiceError(
                f"the embedded server of {self.data} runs in another container or with a private /tmp "
                f"(process {found.pid}): stop it there, or use another state folder here"
            )
        # A server that stops writes that to its pid file before it removes its socket.
        return process.find_living(self.data) == found

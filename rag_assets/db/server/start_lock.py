"""The lock that says "nothing of this server lives", and how to come by it."""

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

_ORPHANS_MAY_LIVE_S = 5
_POLL_S = 0.02

_descriptors: set[int] = set()


def _close_inherited() -> None:
    """A child forked while we start the server would otherwise hold its lock for as long as it lives."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_close_inherited)


@dataclass(slots=True)
class ServerLock:
    """Whoever starts a server holds the lock on `path`, and every process of the server inherits it.

    The kernel lets it go when the last of them is gone, however they died: no stale file, zombie or reused
    process number can pretend otherwise.
    """

    path: Path
    data: Path
    asked: set[int] = field(default_factory=set)  # the processes that were asked to stop
    _descriptor: int = -1

    @property
    def descriptor(self) -> int:
        """What the server's processes must inherit."""
        return self._descriptor

    @contextlib.contextmanager
    def until_answering_or_free(self, timeout_s: float) -> Iterator[process.PidFile | None]:
        """Yield a server as soon as one answers, or None, with the lock held, once none lives."""
        with self._open():
            yield self._wait(timeout_s, stop=False)

    @contextlib.contextmanager
    def after_stop(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock once the server, which is asked to stop, has ended with all its processes."""
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
            found = process.living(self.data)
            if found and not stop and (answering := process.answering(self.data)):
                return answering
            if found and found.pid not in self.asked and (stop or self._out_of_reach(found)):
                self._ask(found)
            if not found and self._try_lock():
                # Another process may have started and left a server in between, by hand without our lock.
                return None if stop else process.answering(self.data)
            waited_s = time.monotonic() - begin
            if not found and waited_s > _ORPHANS_MAY_LIVE_S:
                self._kill_orphans()
            if waited_s > timeout_s:
                whom = f"process {found.pid}" if found else "a process that cannot be seen from here"
                raise ServiceError(
                    f"the embedded server of {self.data} did not {'stop' if stop else 'become ready'} "
                    f"within {timeout_s:g} s, and {whom} holds it: end that process, and try again"
                )
            time.sleep(_POLL_S)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _ask(self, found: process.PidFile) -> None:
        self.asked.add(found.pid)
        # A server writes its last checkpoint to the path that it was started with. Once the folder has moved,
        # that may be another server's, so it must go without one; the next start recovers from the log.
        quietly = signal.SIGINT if found.data == self.data else signal.SIGQUIT
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, quietly)

    def _kill_orphans(self) -> None:
        # Nothing is lost by it: the next start recovers what was committed, from the log, in any case.
        for pid in process.orphans(self.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _out_of_reach(self, found: process.PidFile) -> bool:
        """Whether a ready server can be reached by nobody: its socket was cleaned away, its folder moved."""
        moved = found.data != self.data
        if not found.ready or (not moved and process.socket_path(found.socket_dir).exists()):
            return False
        if not process.same_mounts(found.pid):
            raise ServiceError(
                f"the embedded server of {self.data} runs in another container or with a private /tmp "
                f"(process {found.pid}): stop it there, or use another state folder here"
            )
        # A server that is stopping says so before it removes its socket.
        return process.living(self.data) == found

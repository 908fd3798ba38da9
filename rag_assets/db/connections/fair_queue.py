"""The queue of a pool's idle connections and of the clients that wait for one, served first come, first served.

With SQLAlchemy's own queues a client that returns a connection and asks again at once overtakes all that wait: with 100
clients on 20 connections some wait many times as long as others. A cancelled waiter returns the connection it was
handed.
"""

import asyncio
import threading
from bisect import insort
from collections import deque
from typing import Protocol

from sqlalchemy.pool import ConnectionPoolEntry

from rag_assets.db.connections.sqlalchemy_internals import Empty, Full, PoolQueue, await_


def count_use(entry: ConnectionPoolEntry) -> None:
    """Count that the connection is lent; the count ends with the connection."""
    entry.info["uses"] = count_uses(entry) + 1


def count_uses(entry: ConnectionPoolEntry) -> int:
    return int(entry.info.get("uses", 0)) if entry.dbapi_connection else 0


class Waiter(Protocol):
    """A client in the queue. It is woken with a connection, or with None to try for itself."""

    def wake(self, entry: ConnectionPoolEntry | None) -> bool:
        """False when the client was woken before or has left."""

    def wait(self, timeout_s: float | None) -> None:
        """Return when the client was woken, or after the timeout."""

    def leave(self) -> ConnectionPoolEntry | None:
        """The connection that the client was woken with, if any; from here on it cannot be woken."""


class ThreadWaiter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._left = False
        self._entry: ConnectionPoolEntry | None = None

    def wake(self, entry: ConnectionPoolEntry | None) -> bool:
        with self._lock:
            if self._left or self._woken.is_set():
                return False
            self._entry = entry
            self._woken.set()
            return True

    def wait(self, timeout_s: float | None) -> None:
        self._woken.wait(timeout_s)

    def leave(self) -> ConnectionPoolEntry | None:
        with self._lock:
            self._left = True
            return self._entry


class TaskWaiter:
    """A task of an event loop, inside `greenlet_spawn`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] = self._loop.create_future()
        self._entry: ConnectionPoolEntry | None = None

    def wake(self, entry: ConnectionPoolEntry | None) -> bool:
        if self._woken.done():
            return False
        self._entry = entry
        self._woken.set_result(None)
        return True

    def wait(self, timeout_s: float | None) -> None:
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, self.wake, None)
        try:
            await_(self._woken)
        finally:
            if timer is not None:
                timer.cancel()

    def leave(self) -> ConnectionPoolEntry | None:
        self._woken.cancel()
        return self._entry


class FairQueue(PoolQueue):
    """A bounded queue of idle connections; a connection that is returned goes to the client that waits longest.

    Where nobody waits, the connection that was lent most often is lent next: its server has already planned the
    statements that repeat. Planning them takes ten executions on each connection, and longer than a search.

    The pool sees to its size: `put` beyond `maxsize` raises Full, and `get` raises Empty after its timeout.
    """

    waiter: type[Waiter] = ThreadWaiter

    def __init__(self, maxsize: int = 0, use_lifo: bool = True) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._idle: list[ConnectionPoolEntry] = []
        self._waiters: deque[Waiter] = deque()
        # Reentrant: garbage collection may return a lost connection while this thread holds the lock.
        self._lock = threading.RLock()

    def count_waiting(self) -> int:
        return len(self._waiters)

    def wake_first(self) -> None:
        """Let the client that waits longest try for itself: there may be room for a connection."""
        with self._lock:
            self._wake_next(None)

    def wake_all(self) -> None:
        with self._lock:
            while self._wake_next(None):
                pass

    def reset_use_counts(self) -> None:
        """Lend the idle connections, which are broken too, after those that replace a broken one."""
        with self._lock:
            for entry in self._idle:
                entry.info.pop("uses", None)

    def put(self, item: ConnectionPoolEntry, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - never waits
        with self._lock:
            if self._wake_next(item):
                return
            if len(self._idle) >= self.maxsize:
                raise Full
            insort(self._idle, item, key=count_uses)

    def put_nowait(self, item: ConnectionPoolEntry) -> None:
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | None = None) -> ConnectionPoolEntry:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if not block:
                raise Empty
            waiter = self.waiter()
            self._waiters.append(waiter)
        try:
            waiter.wait(timeout)
        except BaseException:
            # A cancelled task may have been handed a connection a moment before.
            entry = self._leave(waiter)
            if entry is not None:
                self.put(entry, False)
            raise
        entry = self._leave(waiter)
        if entry is None:
            raise Empty
        return entry

    def get_nowait(self) -> ConnectionPoolEntry:
        return self.get(False)

    def qsize(self) -> int:
        return len(self._idle)

    def empty(self) -> bool:
        return not self._idle

    def full(self) -> bool:
        return len(self._idle) >= self.maxsize

    def _wake_next(self, entry: ConnectionPoolEntry | None) -> bool:
        while self._waiters:
            if self._waiters.popleft().wake(entry):
                return True
        return False

    def _leave(self, waiter: Waiter) -> ConnectionPoolEntry | None:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return waiter.leave()


class AsyncFairQueue(FairQueue):
    waiter = TaskWaiter

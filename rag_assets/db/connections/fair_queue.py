"""The queue in front of a pool: who comes first is served first, and whoever leaves takes nothing along.

SQLAlchemy's own queues let a client that gives a connection back and asks again at once overtake all that wait:
with 100 clients on 20 connections some wait many times as long as others.
"""

import asyncio
import threading
from bisect import insort
from collections import deque
from typing import Protocol

from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_
from sqlalchemy.util.queue import Empty, Full, QueueCommon

Entry = ConnectionPoolEntry


def served(entry: Entry) -> None:
    """Note that it is given to a client; of a connection that takes its place nothing is noted."""
    entry.info["served"] = times_served(entry) + 1


def times_served(entry: Entry) -> int:
    return int(entry.info.get("served", 0)) if entry.dbapi_connection else 0


class Waiter(Protocol):
    """One who stands in line; woken with a connection, or with None to see for itself."""

    def wake(self, entry: Entry | None) -> bool:
        """False when nobody waits here any more."""

    def wait(self, timeout_s: float | None) -> None:
        """Returns when it was woken, or after so long."""

    def leave(self) -> Entry | None:
        """What it was woken with, if anything; from here on it cannot be woken."""


class ThreadWaiter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._left = False
        self._entry: Entry | None = None

    def wake(self, entry: Entry | None) -> bool:
        with self._lock:
            if self._left or self._woken.is_set():
                return False
            self._entry = entry
            self._woken.set()
            return True

    def wait(self, timeout_s: float | None) -> None:
        self._woken.wait(timeout_s)

    def leave(self) -> Entry | None:
        with self._lock:
            self._left = True
            return self._entry


class TaskWaiter:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] = self._loop.create_future()
        self._entry: Entry | None = None

    def wake(self, entry: Entry | None) -> bool:
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

    def leave(self) -> Entry | None:
        self._woken.cancel()
        return self._entry


class FairQueue(QueueCommon[Entry]):
    """Idle connections, bounded; a connection that comes back goes to the first in line.

    Where nobody waits, the one that served most often comes first: its server has planned what is asked again and
    again, which takes ten times on each connection, and longer than a search.

    The sizes are the pool's business: `put` beyond `maxsize` raises Full, `get` that finds nothing in time Empty.
    """

    waiter: type[Waiter] = ThreadWaiter

    def __init__(self, maxsize: int = 0, use_lifo: bool = True) -> None:
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._idle: list[Entry] = []
        self._waiters: deque[Waiter] = deque()
        # Garbage collection may give a lost connection back while this very thread is in here.
        self._lock = threading.RLock()

    def waiting(self) -> int:
        return len(self._waiters)

    def nudge(self, *, everybody: bool = False) -> None:
        """Let the first in the queue see for itself: there may be room for a connection."""
        with self._lock:
            while self._wake_first(None) and everybody:
                pass

    def forget_served(self) -> None:
        """All that are idle are broken too: none of them is to come before one that takes the place of another."""
        with self._lock:
            for entry in self._idle:
                entry.info.pop("served", None)

    def put(self, item: Entry, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - never waits
        with self._lock:
            if self._wake_first(item):
                return
            if len(self._idle) >= self.maxsize:
                raise Full
            insort(self._idle, item, key=times_served)

    def put_nowait(self, item: Entry) -> None:
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | None = None) -> Entry:
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
            # A cancelled task may have been given a connection a moment before.
            entry = self._leave(waiter)
            if entry is not None:
                self.put(entry, False)
            raise
        entry = self._leave(waiter)
        if entry is None:
            raise Empty
        return entry

    def get_nowait(self) -> Entry:
        return self.get(False)

    def qsize(self) -> int:
        return len(self._idle)

    def empty(self) -> bool:
        return not self._idle

    def full(self) -> bool:
        return len(self._idle) >= self.maxsize

    def _wake_first(self, entry: Entry | None) -> bool:
        while self._waiters:
            if self._waiters.popleft().wake(entry):
                return True
        return False

    def _leave(self, waiter: Waiter) -> Entry | None:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return waiter.leave()


class AsyncFairQueue(FairQueue):
    waiter = TaskWaiter

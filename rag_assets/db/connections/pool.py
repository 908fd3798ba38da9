"""Connection pools that serve waiting clients first come, first served, count what happens, and can be closed."""

import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from rag_assets.db.connections.fair_queue import AsyncFairQueue, FairQueue, count_use
from rag_assets.db.connections.sqlalchemy_internals import Empty, ExtensiblePool, connect_entry
from rag_assets.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The pool's connections and waiting clients now (`size` to `waiting`), and counts since it was made.

    `served` counts clients, `timeouts` those that waited in vain, `opened` connections, `recycled` those that replaced
    a broken or old one.
    """

    size: int
    maximum: int
    in_use: int
    idle: int
    waiting: int
    served: int
    timeouts: int
    opened: int
    recycled: int

    def metadata(self) -> dict[str, int]:
        return {f"pool_{name}": value for name, value in asdict(self).items()}


class PoolHistory:
    """The counts of a pool, which outlive `Engine.dispose`, and its connections in use."""

    def __init__(self) -> None:
        self.served = self.timeouts = self.opened = self.recycled = 0
        self.in_use: set[ConnectionPoolEntry] = set()
        self.closing = False


class FairPool(ExtensiblePool[FairQueue], queue=FairQueue):
    """SQLAlchemy's QueuePool with a first-come queue and counts."""

    history: PoolHistory

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.history = PoolHistory()
        self._is_disposed = False
        if isinstance(self.logger, logging.Logger):
            self.logger.addFilter(_is_news)

    def recreate(self) -> "FairPool":
        pool = super().recreate()
        assert isinstance(pool, FairPool)
        pool.history = self.history
        return pool

    def dispose(self) -> None:
        """Close idle connections now, and those in use when they are returned: the engine has another pool then."""
        self._is_disposed = True
        super().dispose()

    def statistics(self) -> PoolStatistics:
        history = self.history
        return PoolStatistics(
            size=self.size(),
            maximum=self.maximum,
            in_use=self.checkedout(),
            idle=self.checkedin(),
            waiting=self.queue.count_waiting(),
            served=history.served,
            timeouts=history.timeouts,
            opened=history.opened,
            recycled=history.recycled,
        )

    def close(self) -> None:
        """Refuse waiting and new clients; connections in use are closed when they are returned."""
        self.history.closing = True
        self.queue.wake_all()

    def lend_connected(self) -> ConnectionPoolEntry:
        """A connected entry; the caller returns it by `take_back`, whatever happens."""
        entry = self.lend()
        try:
            connect_entry(entry)
        except BaseException:
            self.take_back(entry)
            raise
        return entry

    def lend(self) -> ConnectionPoolEntry:
        entry = self._wait_for_entry()
        # Counted here: a listener to the pool's events costs each search as much as the queue itself.
        self.history.served += 1
        self.history.in_use.add(entry)
        count_use(entry)
        return entry

    def take_back(self, entry: ConnectionPoolEntry) -> None:
        self.history.in_use.discard(entry)
        if self.history.closing or self._is_disposed:
            entry.close()
            self.free_place()
        else:
            super().take_back(entry)

    def on_invalidate(self) -> None:
        self.queue.reset_use_counts()

    def _wait_for_entry(self) -> ConnectionPoolEntry:
        timeout_s = self.timeout()
        end = time.monotonic() + timeout_s
        while True:
            if self.history.closing:
                raise ServiceError("the connections to the database are being closed; no new work is accepted.")
            try:
                return self.queue.get(False)
            except Empty:
                pass
            if self.reserve_place():
                try:
                    return self.open_entry()
                except BaseException:
                    self.free_place()
                    # Waiting clients cannot see that there is room again.
                    self.queue.wake_first()
                    raise
            try:
                return self.queue.get(True, max(0.0, end - time.monotonic()))
            except Empty:
                if time.monotonic() >= end:
                    self.history.timeouts += 1
                    raise ServiceError(
                        f"all {self.maximum} connections of the pool were in use for {timeout_s:g} s; "
                        "raise RAG_ASSETS_POOL_SIZE, or send fewer queries at a time."
                    ) from None


def _is_news(record: logging.LogRecord) -> bool:
    """False for the traceback of a broken connection that comes back: whoever used it got the error already."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, psycopg.OperationalError) and error.sqlstate is None)


class AsyncFairPool(FairPool, AsyncAdaptedQueuePool, queue=AsyncFairQueue):
    """A FairPool for an event loop."""


def pool_of(engine: "Engine | AsyncEngine") -> FairPool:
    pool = engine.pool
    assert isinstance(pool, FairPool), "the engine was not made by rag_assets.db.connections.engines"
    return pool


def pool_statistics(engine: "Engine | AsyncEngine") -> PoolStatistics:
    """The counts of an engine's pool; the engine is one that this package made."""
    return pool_of(engine).statistics()


def count_opened(engine: Engine) -> None:
    """Count the connections that the engine's pool opens, and those that replace another."""
    history = pool_of(engine).history

    def on_connect(_connection: Any, entry: ConnectionPoolEntry) -> None:
        history.opened += 1
        info = entry.record_info
        assert info is not None
        history.recycled += "opened" in info
        info["opened"] = True

    event.listen(engine, "connect", on_connect)


def open_connections(engine: Engine, count: int) -> None:
    """Open connections before they are needed."""
    for connection in [engine.connect() for _ in range(count)]:
        connection.close()


async def open_connections_async(engine: "AsyncEngine", count: int) -> None:
    for connection in [await engine.connect() for _ in range(count)]:
        await connection.close()

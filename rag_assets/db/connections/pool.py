"""Pools of connections that serve their clients in turn, count what happens to them, and can be closed gently."""

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from sqlalchemy.util.queue import Empty

from rag_assets.db.connections.fair_queue import AsyncFairQueue, FairQueue, served
from rag_assets.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool now (`size` to `waiting`), and since it was made: clients served, clients that waited in vain,
    connections opened, connections replaced since they were broken or too old."""

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


class Record:
    """What happened to a pool, across its being emptied and made anew; `busy` are the connections in use."""

    def __init__(self) -> None:
        self.served = self.timeouts = self.opened = self.recycled = 0
        self.busy: set[ConnectionPoolEntry] = set()
        self.closing = False


class FairPool(QueuePool):
    """SQLAlchemy's pool with a fair queue and counters."""

    _queue_class = FairQueue
    _pool: FairQueue
    record: Record

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.record = Record()
        self._disposed = False

    def recreate(self) -> "FairPool":
        pool = super().recreate()
        assert isinstance(pool, FairPool)
        pool.record = self.record
        return pool

    def dispose(self) -> None:
        """Close the idle connections now, and those in use when they come back: nobody would take them from here."""
        self._disposed = True
        super().dispose()

    def statistics(self) -> PoolStatistics:
        count = self.record
        return PoolStatistics(
            size=self.size(),
            maximum=self.size() + self._max_overflow,
            in_use=self.checkedout(),
            idle=self.checkedin(),
            waiting=self._pool.waiting(),
            served=count.served,
            timeouts=count.timeouts,
            opened=count.opened,
            recycled=count.recycled,
        )

    def close(self) -> None:
        """Refuse whoever waits and whoever comes; connections in use are closed when they come back."""
        self.record.closing = True
        self._pool.nudge(everybody=True)

    def lend(self) -> ConnectionPoolEntry:
        """An entry that is connected, for who gives it back by `take_back` whatever happens."""
        entry = self._do_get()
        try:
            entry.get_connection()  # type: ignore[attr-defined]
        except BaseException:
            self._do_return_conn(entry)
            raise
        return entry

    def take_back(self, entry: ConnectionPoolEntry) -> None:
        self._do_return_conn(entry)

    def lose(self, entry: ConnectionPoolEntry, error: BaseException) -> None:
        """It is broken, and so are those that are as old: the like of `_invalidate` for what was lent."""
        if self._invalidate_time < entry.starttime:  # type: ignore[attr-defined]
            self._invalidate_time = time.time()
        self._pool.forget_served()
        entry.invalidate(error)

    def _invalidate(
        self, connection: PoolProxiedConnection, exception: BaseException | None = None, _checkin: bool = True
    ) -> None:
        self._pool.forget_served()
        super()._invalidate(connection, exception, _checkin)

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self.record.busy.discard(record)
        if self.record.closing or self._disposed:
            record.close()
            self._dec_overflow()
        else:
            super()._do_return_conn(record)

    def _do_get(self) -> ConnectionPoolEntry:
        entry = self._next()
        # Here, since listeners of the pool's events would cost each search as much as its place in the queue.
        self.record.served += 1
        self.record.busy.add(entry)
        served(entry)
        return entry

    def _next(self) -> ConnectionPoolEntry:
        end = time.monotonic() + self._timeout
        while True:
            if self.record.closing:
                raise ServiceError("the connections to the database are being closed; nothing new can be asked.")
            try:
                return self._pool.get(False)
            except Empty:
                pass
            if self._inc_overflow():
                try:
                    return self._create_connection()
                except BaseException:
                    self._dec_overflow()
                    # There is room again, which those in the queue cannot see.
                    self._pool.nudge()
                    raise
            try:
                return self._pool.get(True, max(0.0, end - time.monotonic()))
            except Empty:
                if time.monotonic() >= end:
                    self.record.timeouts += 1
                    raise ServiceError(
                        f"all {self.size() + self._max_overflow} connections of the pool were in use for "
                        f"{self._timeout:g} s; raise RAG_ASSETS_POOL_SIZE, or ask less at one time."
                    ) from None


class AsyncFairPool(FairPool, AsyncAdaptedQueuePool):
    """The like for an event loop."""

    _queue_class = AsyncFairQueue


def pool_of(engine: "Engine | AsyncEngine") -> FairPool:
    pool = engine.pool
    assert isinstance(pool, FairPool), "this engine was not made by rag_assets.db.connections.engines"
    return pool


def pool_statistics(engine: "Engine | AsyncEngine") -> PoolStatistics:
    """What the pool of an engine of ours does."""
    return pool_of(engine).statistics()


def keep_record(engine: Engine) -> None:
    """Note in the record of this engine's pool which connections are opened."""
    kept = pool_of(engine).record

    def opened(_connection: Any, entry: ConnectionPoolEntry) -> None:
        kept.opened += 1
        lasting = entry.record_info
        assert lasting is not None
        kept.recycled += "opened" in lasting
        lasting["opened"] = True

    event.listen(engine, "connect", opened)


def open_ahead(engine: Engine, connections: int) -> None:
    """Have so many connections open before they are needed."""
    for connection in [engine.connect() for _ in range(connections)]:
        connection.close()


async def open_ahead_async(engine: "AsyncEngine", connections: int) -> None:
    for connection in [await engine.connect() for _ in range(connections)]:
        await connection.close()

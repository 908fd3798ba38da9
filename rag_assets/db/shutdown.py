"""The end of a process that serves: what is in flight may end, for so long; what is asked from here on is refused."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from rag_assets.db.connections.pool import FairPool, pool_of
from rag_assets.db.database import forget_async_engines, forget_engines

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_LOOK_S = 0.02
# How long the server may take to tell a statement that it is cancelled.
_CANCEL_S = 2.0


def close_engines(*, grace_s: float = 10) -> int:
    """End the shared engines of this process; returns how many statements were cancelled after `grace_s` seconds."""
    end = time.monotonic() + grace_s
    return sum(close_engine(engine, grace_s=end - time.monotonic()) for engine in forget_engines())


async def close_async_engines(*, grace_s: float = 10) -> int:
    """The like for the running event loop; to be awaited before the loop ends."""
    import asyncio

    ended = [close_async_engine(engine, grace_s=grace_s) for engine in forget_async_engines()]
    return sum(await asyncio.gather(*ended))


def close_engine(engine: Engine, *, grace_s: float = 10) -> int:
    """End one engine for good: no new work, so long for what is in flight, then its statements are cancelled."""
    pool = pool_of(engine)
    pool.close()
    end = time.monotonic() + grace_s
    cancelled: set[ConnectionPoolEntry] = set()
    while pool.checkedout() and time.monotonic() < end + _CANCEL_S:
        for entry in _late(pool, end, cancelled):
            # The server may be away.
            with suppress(psycopg.Error):
                entry.driver_connection.cancel_safe(timeout=_CANCEL_S)
        time.sleep(_LOOK_S)
    engine.dispose()
    return len(cancelled)


async def close_async_engine(engine: "AsyncEngine", *, grace_s: float = 10) -> int:
    """The like for an engine of an event loop."""
    import asyncio

    pool = pool_of(engine)
    pool.close()
    end = time.monotonic() + grace_s
    cancelled: set[ConnectionPoolEntry] = set()
    while pool.checkedout() and time.monotonic() < end + _CANCEL_S:
        for entry in _late(pool, end, cancelled):
            with suppress(psycopg.Error):
                await entry.driver_connection.cancel_safe(timeout=_CANCEL_S)
        await asyncio.sleep(_LOOK_S)
    await engine.dispose()
    return len(cancelled)


def _late(pool: FairPool, end: float, cancelled: set[ConnectionPoolEntry]) -> list[Any]:
    """The connections whose statements are to be cancelled now."""
    if time.monotonic() < end:
        return []
    late = [entry for entry in pool.history.in_use - cancelled if entry.driver_connection is not None]
    cancelled.update(late)
    return late

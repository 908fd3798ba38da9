"""The end of a process that serves: what is in flight may end, for so long; what is asked from here on is refused."""

import time
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from rag_assets.db.engine import forget_async_engines, forget_engines
from rag_assets.db.pools import pool_of

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
    record = pool_of(engine).record
    pool_of(engine).close()
    _wait(record.busy, grace_s)
    late = list(record.busy)
    for entry in late:
        driver = entry.driver_connection
        if driver is not None:
            driver.cancel_safe(timeout=_CANCEL_S)
    _wait(record.busy, _CANCEL_S)
    engine.dispose()
    return len(late)


async def close_async_engine(engine: "AsyncEngine", *, grace_s: float = 10) -> int:
    """The like for an engine of an event loop."""
    record = pool_of(engine).record
    pool_of(engine).close()
    await _wait_async(record.busy, grace_s)
    late = list(record.busy)
    for entry in late:
        driver = entry.driver_connection
        if driver is not None:
            await driver.cancel_safe(timeout=_CANCEL_S)
    await _wait_async(record.busy, _CANCEL_S)
    await engine.dispose()
    return len(late)


def _wait(busy: set[ConnectionPoolEntry], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while busy and time.monotonic() < end:
        time.sleep(_LOOK_S)


async def _wait_async(busy: set[ConnectionPoolEntry], limit_s: float) -> None:
    import asyncio

    end = time.monotonic() + limit_s
    while busy and time.monotonic() < end:
        await asyncio.sleep(_LOOK_S)

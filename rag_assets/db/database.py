"""The engines that a process shares, one for each database and role: how they are opened and closed.

A shared engine brings the schema up to date when it is first used.
"""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry

from rag_assets.db.connections.engines import (
    EngineKey,
    make_async_engine,
    make_engine,
    shared_engines,
    shared_engines_lock,
)
from rag_assets.db.connections.options import EngineOptions, Role
from rag_assets.db.connections.pool import FairPool, open_connections, open_connections_async, pool_of
from rag_assets.db.connections.urls import database_url
from rag_assets.db.session.preconditions import read_facts, refuse
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

_POLL_INTERVAL_S = 0.02
# How long the request to cancel a statement may take, and then the statement to end.
_CANCEL_S = 2.0

_upgraded: set[URL] = set()
_writable: set[URL] = set()
_async_engines: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[EngineKey, AsyncEngine]]" = WeakKeyDictionary()


def new_engine(settings: Settings, role: Role = "write") -> Engine:
    """A new engine, which the caller disposes of; the schema is left as it is."""
    url, options = _key(settings, role)
    return make_engine(url, options=options)


def new_async_engine(settings: Settings, role: Role = "write") -> "AsyncEngine":
    """`new_engine` for an event loop."""
    url, options = _key(settings, role)
    return make_async_engine(url, options=options)


def open_engine(settings: Settings, role: Role = "write") -> Engine:
    """An engine of the caller's own, on a database at the newest schema; the caller closes it."""
    url, options = _key(settings, role)
    engine = make_engine(url, options=options)
    try:
        _upgrade_once(engine)
        open_connections(engine, options.pool_min)
    except BaseException:
        engine.dispose()
        raise
    return engine


async def open_async_engine(settings: Settings, role: Role = "write") -> "AsyncEngine":
    """`open_engine` for the running event loop."""
    import asyncio

    # Starting the embedded server and migrating must not block the loop.
    url, options = await asyncio.to_thread(_ready, settings, role)
    engine = make_async_engine(url, options=options)
    await open_connections_async(engine, options.pool_min)
    return engine


def shared_engine(settings: Settings, role: Role = "write") -> Engine:
    """The engine that this process shares for the database in use and the role."""
    with shared_engines_lock:
        key = _key(settings, role)
        if key not in shared_engines:
            shared_engines[key] = open_engine(settings, role)
        return shared_engines[key]


def writable_engine(settings: Settings) -> Engine:
    """The shared engine for writes; raises RefusedError where the database or the role does not allow them."""
    engine = shared_engine(settings)
    if engine.url not in _writable:
        with engine.connect() as connection:
            refuse(read_facts(connection).obstacles_to_writing())
        _writable.add(engine.url)
    return engine


async def shared_async_engine(settings: Settings, role: Role = "write") -> "AsyncEngine":
    """`shared_engine` for the running event loop; `close_async_engines` or `dispose_async_engines` closes it."""
    import asyncio

    key = await asyncio.to_thread(_ready, settings, role)
    engines = _async_engines.setdefault(asyncio.get_running_loop(), {})
    if key not in engines:
        engines[key] = make_async_engine(key[0], options=key[1])
        await open_connections_async(engines[key], key[1].pool_min)
    return engines[key]


def autocommit_connection(engine: Engine) -> Connection:
    """A connection for a few reads, without the round trips that begin and end a transaction."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def dispose_engines() -> None:
    """Close the idle connections of the shared engines, and those in use when they are returned."""
    for engine in detach_engines():
        engine.dispose()


async def dispose_async_engines() -> None:
    """`dispose_engines` for the running event loop, before it ends."""
    for engine in detach_async_engines():
        await engine.dispose()


def detach_engines() -> list[Engine]:
    """Give up the shared engines to the caller, who closes them."""
    with shared_engines_lock:
        _upgraded.clear()
        _writable.clear()
        engines = list(shared_engines.values())
        shared_engines.clear()
        return engines


def detach_async_engines() -> "list[AsyncEngine]":
    import asyncio

    return list(_async_engines.pop(asyncio.get_running_loop(), {}).values())


def close_engines(*, grace_s: float = 10) -> int:
    """Close the shared engines of this process, and cancel the statements that still run after `grace_s` seconds.

    Returns how many statements were cancelled.
    """
    end = time.monotonic() + grace_s
    return sum(close_engine(engine, grace_s=end - time.monotonic()) for engine in detach_engines())


async def close_async_engines(*, grace_s: float = 10) -> int:
    """`close_engines` for the running event loop, before it ends."""
    import asyncio

    ended = [close_async_engine(engine, grace_s=grace_s) for engine in detach_async_engines()]
    return sum(await asyncio.gather(*ended))


def close_engine(engine: Engine, *, grace_s: float = 10) -> int:
    """Close one engine: refuse new work, let running statements end for `grace_s` seconds, then cancel them."""
    pool = pool_of(engine)
    pool.close()
    end = time.monotonic() + grace_s
    cancelled: set[ConnectionPoolEntry] = set()
    while pool.checkedout() and time.monotonic() < end + _CANCEL_S:
        for entry in _overdue(pool, end, cancelled):
            # The server may not answer.
            with suppress(psycopg.Error):
                entry.driver_connection.cancel_safe(timeout=_CANCEL_S)
        time.sleep(_POLL_INTERVAL_S)
    engine.dispose()
    return len(cancelled)


async def close_async_engine(engine: "AsyncEngine", *, grace_s: float = 10) -> int:
    import asyncio

    pool = pool_of(engine)
    pool.close()
    end = time.monotonic() + grace_s
    cancelled: set[ConnectionPoolEntry] = set()
    while pool.checkedout() and time.monotonic() < end + _CANCEL_S:
        for entry in _overdue(pool, end, cancelled):
            with suppress(psycopg.Error):
                await entry.driver_connection.cancel_safe(timeout=_CANCEL_S)
        await asyncio.sleep(_POLL_INTERVAL_S)
    await engine.dispose()
    return len(cancelled)


def _overdue(pool: FairPool, end: float, cancelled: set[ConnectionPoolEntry]) -> list[Any]:
    """The connections in use after the grace period, which were not cancelled before."""
    if time.monotonic() < end:
        return []
    overdue = [entry for entry in pool.history.in_use - cancelled if entry.driver_connection is not None]
    cancelled.update(overdue)
    return overdue


def _key(settings: Settings, role: Role) -> EngineKey:
    options = EngineOptions.from_settings(settings, role)
    direct = options.direct_url if role == "direct" else None
    return direct or database_url(settings), options


def _ready(settings: Settings, role: Role) -> EngineKey:
    with shared_engines_lock:
        key = _key(settings, role)
        if key[0] not in _upgraded:
            engine = new_engine(settings, role)
            try:
                _upgrade_once(engine)
            finally:
                engine.dispose()
        return key


def _upgrade_once(engine: Engine) -> None:
    from rag_assets.db.schema.migrations import upgrade

    if engine.url not in _upgraded:
        upgrade(engine)
        _upgraded.add(engine.url)

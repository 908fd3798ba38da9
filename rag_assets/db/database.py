"""The engines that a process shares: one for each database and role, migrated to the newest schema at first use."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine

from rag_assets.db.connections.engines import Key, _engines, _engines_lock, make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions, Role
from rag_assets.db.connections.pool import open_ahead, open_ahead_async
from rag_assets.db.connections.urls import database_url
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

_upgraded: set[URL] = set()


_async_engines: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, AsyncEngine]]" = WeakKeyDictionary()


def new_engine(settings: Settings, role: Role = "write") -> Engine:
    """An engine of its own for the database in use, whose schema is left as it is; the maker disposes of it."""
    url, options = _key(settings, role)
    return make_engine(url, options=options)


def shared_engine(settings: Settings, role: Role = "write") -> Engine:
    """The engine of this process for this database and role, brought up to the newest schema at first use."""
    with _engines_lock:
        key = _key(settings, role)
        if key not in _engines:
            engine = make_engine(key[0], options=key[1])
            try:
                _upgrade_once(engine)
                open_ahead(engine, key[1].pool_min)
            except BaseException:
                engine.dispose()
                raise
            _engines[key] = engine
        return _engines[key]


async def shared_async_engine(settings: Settings, role: Role = "write") -> "AsyncEngine":
    """The engine of the running event loop for this database and role; `dispose_async_engines` ends it."""
    import asyncio

    # Starting the embedded server, migrating: none of it may stop the loop.
    key = await asyncio.to_thread(_ready, settings, role)
    engines = _async_engines.setdefault(asyncio.get_running_loop(), {})
    if key not in engines:
        engines[key] = make_async_engine(key[0], options=key[1])
        await open_ahead_async(engines[key], key[1].pool_min)
    return engines[key]


def one_read(engine: Engine) -> Connection:
    """A connection for a statement or two that only read, without the two round trips of a transaction around them."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def dispose_engines() -> None:
    """Close all pooled connections of this process that are idle, and the others when they are given back."""
    for engine in forget_engines():
        engine.dispose()


async def dispose_async_engines() -> None:
    """The like for the running event loop; to be awaited before the loop ends."""
    for engine in forget_async_engines():
        await engine.dispose()


def forget_engines() -> list[Engine]:
    """The shared engines, which from here on are the caller's to end."""
    with _engines_lock:
        _upgraded.clear()
        engines = list(_engines.values())
        _engines.clear()
        return engines


def forget_async_engines() -> "list[AsyncEngine]":
    import asyncio

    return list(_async_engines.pop(asyncio.get_running_loop(), {}).values())


def _key(settings: Settings, role: Role) -> Key:
    options = EngineOptions.of(settings, role)
    direct = options.direct_url if role == "direct" else None
    return direct or database_url(settings), options


def _ready(settings: Settings, role: Role) -> Key:
    with _engines_lock:
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

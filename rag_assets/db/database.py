"""The engines that a process shares: one for each database and role, migrated to the newest schema at first use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import OperationalError

from rag_assets.db.connections.engines import Key, _engines, _engines_lock, make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions, Role
from rag_assets.db.connections.pool import open_connections, open_connections_async
from rag_assets.db.connections.urls import database_url
from rag_assets.errors import ServiceError
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

_upgraded: set[URL] = set()


_async_engines: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, AsyncEngine]]" = WeakKeyDictionary()


def unavailable(error: Exception) -> ServiceError | None:
    """The error of a server that does not answer, as one sentence; None for any other error."""
    # Dagster keeps its history in SQLite, whose errors are not our server's.
    if not (isinstance(error, OperationalError) and type(error.orig).__module__.startswith("psycopg")):
        return None
    reason = str(error.orig).strip().splitlines()[0]
    return ServiceError(f"the database does not answer: {reason}; look at `rag-assets status` and the server's log.")


@contextmanager
def clear_connection_errors() -> Iterator[None]:
    """Raise ServiceError where the server does not answer."""
    try:
        yield
    except OperationalError as error:
        raise unavailable(error) or error from error


def new_engine(settings: Settings, role: Role = "write") -> Engine:
    """An engine of its own for the database in use, whose schema is left as it is; the maker disposes of it."""
    url, options = _key(settings, role)
    return make_engine(url, options=options)


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
    """The engine of this process for this database and role, brought up to the newest schema at first use."""
    with _engines_lock:
        key = _key(settings, role)
        if key not in _engines:
            _engines[key] = open_engine(settings, role)
        return _engines[key]


async def shared_async_engine(settings: Settings, role: Role = "write") -> "AsyncEngine":
    """The engine of the running event loop for this database and role; `dispose_async_engines` ends it."""
    import asyncio

    key = await asyncio.to_thread(_ready, settings, role)
    engines = _async_engines.setdefault(asyncio.get_running_loop(), {})
    if key not in engines:
        engines[key] = make_async_engine(key[0], options=key[1])
        await open_connections_async(engines[key], key[1].pool_min)
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

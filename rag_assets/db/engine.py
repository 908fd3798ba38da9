"""The one place that makes engines: from the settings to a pool of connections."""

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from rag_assets.errors import UsageError
from rag_assets.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

DRIVER = "postgresql+psycopg"

_engines: dict[URL, Engine] = {}
_engines_lock = threading.Lock()
_async_engines: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[URL, AsyncEngine]]" = WeakKeyDictionary()


def database_url(settings: Settings) -> URL:
    """The database in use: the configured one, else the embedded server, which is started when it is down."""
    if settings.database_url is None:
        from rag_assets.db.embedded import EmbeddedServer

        return make_url(EmbeddedServer.at(settings.state_dir).ensure_running()).set(drivername=DRIVER)
    try:
        url = make_url(settings.database_url.get_secret_value())
    except ArgumentError:
        raise UsageError(
            "RAG_ASSETS_DATABASE_URL is not a database URL; write it as postgresql://user:password@host:5432/database."
        ) from None
    if url.drivername not in ("postgresql", "postgres", DRIVER):
        raise UsageError(
            f"RAG_ASSETS_DATABASE_URL begins with {url.drivername}://, but only PostgreSQL serves here; "
            "write it as postgresql://user:password@host:5432/database."
        )
    return url.set(drivername=DRIVER)


def make_engine(url: URL, *, application_name: str = "rag_assets") -> Engine:
    """A small pool: every step process of a run makes its own, and they all share max_connections."""
    return create_engine(url, **_pool_options(application_name))


def make_async_engine(url: URL, *, application_name: str = "rag_assets") -> "AsyncEngine":
    """The like of `make_engine` for one event loop, whose user disposes of it before the loop ends."""
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url, **_pool_options(application_name))


def _pool_options(application_name: str) -> dict[str, Any]:
    return {
        "pool_size": 2,
        "max_overflow": 3,
        "pool_pre_ping": True,
        "connect_args": {"application_name": application_name, "connect_timeout": 10},
    }


def shared_engine(settings: Settings) -> Engine:
    """The engine of this process for this database, brought up to the newest schema at first use."""
    from rag_assets.db.schema import upgrade

    with _engines_lock:
        url = database_url(settings)
        if url not in _engines:
            engine = make_engine(url)
            upgrade(engine)
            _engines[url] = engine
        return _engines[url]


def dispose_engines() -> None:
    """Close all pooled connections of this process."""
    with _engines_lock:
        while _engines:
            _engines.popitem()[1].dispose()


async def shared_async_engine(settings: Settings) -> "AsyncEngine":
    """The engine of the running event loop for this database; `dispose_async_engines` ends it."""
    import asyncio

    # Connects, starts the embedded server, migrates: none of it may stop the loop.
    url = (await asyncio.to_thread(shared_engine, settings)).url
    engines = _async_engines.setdefault(asyncio.get_running_loop(), {})
    if url not in engines:
        engines[url] = make_async_engine(url)
    return engines[url]


async def dispose_async_engines() -> None:
    """Close all pooled connections of the running event loop; to be awaited before the loop ends."""
    import asyncio

    for engine in _async_engines.pop(asyncio.get_running_loop(), {}).values():
        await engine.dispose()

"""The one place that makes engines: from the settings to a pool of connections, sync and async alike."""

import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine

from rag_assets.db.connecting import Link, link_of, link_option
from rag_assets.db.options import EngineOptions, Role
from rag_assets.db.pools import AsyncFairPool, FairPool, keep_record, open_ahead, open_ahead_async
from rag_assets.db.query_log import log_queries
from rag_assets.db.urls import DRIVER as DRIVER
from rag_assets.db.urls import database_url as database_url
from rag_assets.errors import UsageError
from rag_assets.settings import Settings

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

Key = tuple[URL, EngineOptions]

_engines: dict[Key, Engine] = {}
_upgraded: set[URL] = set()
_engines_lock = threading.RLock()
_async_engines: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, AsyncEngine]]" = WeakKeyDictionary()


def make_engine(url: URL, *, application_name: str | None = None, options: EngineOptions | None = None) -> Engine:
    """An engine of its own, with the default options unless others are given; the maker disposes of it."""
    options = _named(options, application_name)
    link = Link(url, options)
    engine = create_engine(url, poolclass=FairPool, execution_options=link_option(link), **options.engine_arguments())
    _attach(engine, link)
    return engine


def make_async_engine(
    url: URL, *, application_name: str | None = None, options: EngineOptions | None = None
) -> "AsyncEngine":
    """The like of `make_engine` for one event loop, whose user disposes of it before the loop ends."""
    from sqlalchemy.ext.asyncio import create_async_engine

    options = _named(options, application_name)
    link = Link(url, options)
    engine = create_async_engine(
        url, poolclass=AsyncFairPool, execution_options=link_option(link), **options.engine_arguments()
    )
    _attach(engine.sync_engine, link)
    return engine


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


def direct_engine(engine: Engine, purpose: str) -> Engine:
    """The engine for what needs a server session of its own: this very one, or behind a pooler the one past it.

    Raises UsageError that names the `purpose` where a pooler is in the way and no other address is known.
    """
    link = link_of(engine)
    if link is None:
        return engine
    if link.options.direct_url is None:
        if not link.is_pooled(engine):
            return engine
        raise UsageError(
            f"{purpose} needs a session of its own, and {_place(engine.url)} is a pooler, which gives each transaction "
            "another one; set RAG_ASSETS_DIRECT_DATABASE_URL to the server's own address "
            "(or RAG_ASSETS_POOLER=false if this pooler keeps sessions)."
        )
    with _engines_lock:
        key = link.options.direct_url, link.options.directly()
        if key not in _engines:
            _engines[key] = make_engine(key[0], options=key[1])
        direct = _engines[key]
    direct_link = link_of(direct)
    assert direct_link is not None
    if direct_link.is_pooled(direct):
        raise UsageError(
            f"{purpose} needs a session of its own, and {_place(direct.url)}, which RAG_ASSETS_DIRECT_DATABASE_URL "
            "names, is a pooler too; set it to the server's own address."
        )
    return direct


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
    from rag_assets.db.schema import upgrade

    if engine.url not in _upgraded:
        upgrade(engine)
        _upgraded.add(engine.url)


def _named(options: EngineOptions | None, application_name: str | None) -> EngineOptions:
    options = options or EngineOptions()
    return options if application_name is None else replace(options, application_name=application_name)


def _place(url: URL) -> str:
    return f"{url.host or 'localhost'}:{url.port or 5432}"


def _attach(engine: Engine, link: Link) -> None:
    link.attach(engine)
    keep_record(engine)
    log_queries(engine, link.options)

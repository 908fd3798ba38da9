"""The one place that makes engines: from the settings to a pool of connections, sync and async alike."""

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, create_engine

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import AsyncFairPool, FairPool, count_opened
from rag_assets.db.connections.pooler import Link, link_of, link_option
from rag_assets.db.connections.query_log import log_queries
from rag_assets.db.connections.urls import DRIVER as DRIVER
from rag_assets.db.connections.urls import database_url as database_url
from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Key = tuple[URL, EngineOptions]

_engines: dict[Key, Engine] = {}
_engines_lock = threading.RLock()


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


def _named(options: EngineOptions | None, application_name: str | None) -> EngineOptions:
    options = options or EngineOptions()
    return options if application_name is None else replace(options, application_name=application_name)


def _place(url: URL) -> str:
    return f"{url.host or 'localhost'}:{url.port or 5432}"


def _attach(engine: Engine, link: Link) -> None:
    link.attach(engine)
    count_opened(engine)
    log_queries(engine, link.options)

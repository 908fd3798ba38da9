"""Makes engines, sync and async, with the pool, the pooler detection and the query log that their options ask for."""

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, create_engine

from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import AsyncFairPool, FairPool, count_opened
from rag_assets.db.connections.pooler import ConnectionSetup, get_connection_setup, setup_option
from rag_assets.db.connections.query_log import log_queries
from rag_assets.db.connections.urls import DRIVER as DRIVER
from rag_assets.db.connections.urls import database_url as database_url
from rag_assets.db.connections.urls import format_address
from rag_assets.db.session.server_errors import leave_out_values_of
from rag_assets.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

EngineKey = tuple[URL, EngineOptions]

shared_engines: dict[EngineKey, Engine] = {}
shared_engines_lock = threading.RLock()


def make_engine(url: URL, *, application_name: str | None = None, options: EngineOptions | None = None) -> Engine:
    """A new engine, which the caller disposes of."""
    options = _with_application_name(options, application_name)
    setup = ConnectionSetup(url, options)
    engine = create_engine(url, poolclass=FairPool, execution_options=setup_option(setup), **options.engine_arguments())
    _attach(engine, setup)
    return engine


def make_async_engine(
    url: URL, *, application_name: str | None = None, options: EngineOptions | None = None
) -> "AsyncEngine":
    """A new engine for one event loop, which the caller disposes of before the loop ends."""
    from sqlalchemy.ext.asyncio import create_async_engine

    options = _with_application_name(options, application_name)
    setup = ConnectionSetup(url, options)
    engine = create_async_engine(
        url, poolclass=AsyncFairPool, execution_options=setup_option(setup), **options.engine_arguments()
    )
    _attach(engine.sync_engine, setup)
    return engine


def direct_engine(engine: Engine, purpose: str) -> Engine:
    """The engine for work that needs a server session: this one, or with a pooler one that bypasses it.

    Raises UsageError, which names the `purpose`, where the URL leads to a pooler and no direct URL is set.
    """
    setup = get_connection_setup(engine)
    if setup is None:
        return engine
    if setup.options.direct_url is None:
        if not setup.is_pooled(engine):
            return engine
        raise UsageError(
            f"{purpose} needs a session of its own, and {format_address(engine.url)} is a pooler, which gives each "
            "transaction another one; set RAG_ASSETS_DIRECT_DATABASE_URL to the server's own address "
            "(or RAG_ASSETS_POOLER=false if this pooler keeps sessions)."
        )
    with shared_engines_lock:
        key = setup.options.direct_url, setup.options.for_direct_engine()
        if key not in shared_engines:
            shared_engines[key] = make_engine(key[0], options=key[1])
        direct = shared_engines[key]
    direct_setup = get_connection_setup(direct)
    assert direct_setup is not None
    if direct_setup.is_pooled(direct):
        raise UsageError(
            f"{purpose} needs a session of its own, and {format_address(direct.url)}, which "
            "RAG_ASSETS_DIRECT_DATABASE_URL names, is a pooler too; set it to the server's own address."
        )
    return direct


def _with_application_name(options: EngineOptions | None, application_name: str | None) -> EngineOptions:
    options = options or EngineOptions()
    return options if application_name is None else replace(options, application_name=application_name)


def _attach(engine: Engine, setup: ConnectionSetup) -> None:
    setup.attach(engine)
    count_opened(engine)
    leave_out_values_of(engine)
    log_queries(engine, setup.options)

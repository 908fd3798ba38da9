"""The one place that makes engines: from the settings to a pool of connections."""

import threading

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from rag_assets.errors import UsageError
from rag_assets.settings import Settings

DRIVER = "postgresql+psycopg"

_engines: dict[URL, Engine] = {}
_engines_lock = threading.Lock()


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
    return create_engine(
        url,
        pool_size=2,
        max_overflow=3,
        pool_pre_ping=True,
        connect_args={"application_name": application_name, "connect_timeout": 10},
    )


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

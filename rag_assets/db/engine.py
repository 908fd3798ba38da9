"""The one place that makes engines: from the settings to a pool of connections."""

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from rag_assets.errors import UsageError
from rag_assets.settings import Settings

DRIVER = "postgresql+psycopg"


def database_url(settings: Settings) -> URL:
    """The database in use: the configured one, else the embedded server, which is started when it is down."""
    if settings.database_url is None:
        from rag_assets.db.embedded import EmbeddedServer

        return make_url(EmbeddedServer.at(settings.state_dir).ensure_running()).set(drivername=DRIVER)
    try:
        url = make_url(settings.database_url.get_secret_value())
    except ArgumentError:
        raise UsageError(
            "RAG_ASSETS_DATABASE_URL is not a database URL; "
            "write it as postgresql://user:password@host:5432/database."
        ) from None
    if url.drivername not in ("postgresql", "postgres", DRIVER):
        raise UsageError(
            f"RAG_ASSETS_DATABASE_URL begins with {url.drivername}://, but only PostgreSQL serves here; "
            "write it as postgresql://user:password@host:5432/database."
        )
    return url.set(drivername=DRIVER)


def make_engine(settings: Settings, *, application_name: str = "rag_assets") -> Engine:
    """A small pool: every step process of a run makes its own, and they all share max_connections."""
    return create_engine(
        database_url(settings),
        pool_size=2,
        max_overflow=3,
        pool_pre_ping=True,
        connect_args={"application_name": application_name, "connect_timeout": 10},
    )

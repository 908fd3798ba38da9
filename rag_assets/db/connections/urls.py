"""Database URLs: the one in use, the one that bypasses a pooler, and how a pooler's URL is recognized."""

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings

DRIVER = "postgresql+psycopg"

# The usual ports of poolers in transaction mode: pgbouncer, Supabase's, DigitalOcean's.
_POOLER_PORTS = (6432, 6543, 25061)


def database_url(settings: Settings) -> URL:
    """The configured database, else the embedded server, which is started if it does not run."""
    if settings.database_url is None:
        from rag_assets.db.server.server import EmbeddedServer

        return make_url(EmbeddedServer.at(settings.state_dir).ensure_running()).set(drivername=DRIVER)
    return _parse("RAG_ASSETS_DATABASE_URL", settings.database_url)


def direct_url(settings: Settings) -> URL | None:
    """The configured URL that bypasses a pooler."""
    if settings.direct_database_url is None:
        return None
    return _parse("RAG_ASSETS_DIRECT_DATABASE_URL", settings.direct_database_url)


def looks_like_pooler(url: URL) -> bool:
    """Whether a URL has the host, port or parameter of a pooler in transaction mode.

    Neon has `-pooler` in the first part of the host name, Fly `pgbouncer`; some URLs have `pgbouncer=true`.
    """
    if url.query.get("pgbouncer") == "true":
        return True
    host = (url.host or "").lower()
    return "-pooler" in host.partition(".")[0] or host.startswith("pgbouncer.") or url.port in _POOLER_PORTS


def _parse(name: str, value: SecretStr) -> URL:
    try:
        url = make_url(value.get_secret_value())
    except ArgumentError:
        raise UsageError(
            f"{name} is not a database URL; write it as postgresql://user:password@host:5432/database."
        ) from None
    if url.drivername not in ("postgresql", "postgres", DRIVER):
        raise UsageError(
            f"{name} begins with {url.drivername}://, but only PostgreSQL is supported; "
            "write it as postgresql://user:password@host:5432/database."
        )
    return url.set(drivername=DRIVER)

"""Addresses of databases: which one is in use, which one leads past a pooler, and which ones lead to a pooler."""

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings

DRIVER = "postgresql+psycopg"

# Where poolers in transaction mode usually listen: pgbouncer, Supabase's, DigitalOcean's.
_POOLER_PORTS = (6432, 6543, 25061)


def database_url(settings: Settings) -> URL:
    """The database in use: the configured one, else the embedded server, which is started when it is down."""
    if settings.database_url is None:
        from rag_assets.db.server.server import EmbeddedServer

        return make_url(EmbeddedServer.at(settings.state_dir).ensure_running()).set(drivername=DRIVER)
    return _parse("RAG_ASSETS_DATABASE_URL", settings.database_url)


def direct_url(settings: Settings) -> URL | None:
    """The address that leads past a pooler, where one is set."""
    if settings.direct_database_url is None:
        return None
    return _parse("RAG_ASSETS_DIRECT_DATABASE_URL", settings.direct_database_url)


def names_pooler(url: URL) -> bool:
    """Whether an address looks like that of a pooler in transaction mode, by what hosters call theirs.

    Neon says `-pooler` in the host's first name, Fly `pgbouncer`; a parameter `pgbouncer=true` says it outright.
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
            f"{name} begins with {url.drivername}://, but only PostgreSQL serves here; "
            "write it as postgresql://user:password@host:5432/database."
        )
    return url.set(drivername=DRIVER)

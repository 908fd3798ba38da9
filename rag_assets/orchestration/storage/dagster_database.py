"""The database of Dagster's own storage: its address, and how it is created."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.urls import database_url, direct_url, format_url, parse_database_url
from rag_assets.db.session.server_errors import explain_error
from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SETTING = "RAG_ASSETS_DAGSTER_DATABASE"
_MISSING_DATABASE = "3D000"
# "rags", and that tables are created.
_LOCK_NAME = {"first": 0x72616773, "second": 1}
_LOCK = text("SELECT pg_advisory_lock(:first, :second)")
_UNLOCK = text("SELECT pg_advisory_unlock(:first, :second)")


def dagster_database_url(settings: Settings) -> URL:
    """The address, with the settings' TLS; never that of a pooler, where the direct address is set."""
    if settings.dagster_database is None:
        raise UsageError(
            f"{_SETTING} is not set; set it to the name of a database for Dagster's storage, like dagster, or to an "
            "address."
        )
    value = settings.dagster_database.get_secret_value()
    if "://" in value:
        url = parse_database_url(_SETTING, value)
    elif _NAME.fullmatch(value):
        url = (direct_url(settings) or database_url(settings)).set(database=value)
    else:
        raise UsageError(
            f"{_SETTING} is neither a name nor an address; use a name of letters, digits and underscores, like "
            "dagster, or postgresql://user:password@host:5432/database."
        )
    query = {name: value for name, value in url.query.items() if name != "pgbouncer"}
    return url.set(query={**dict(EngineOptions.from_settings(settings).tls), **query})


def driver_address(url: URL, driver: str) -> str:
    """The address for another driver, with its password."""
    return url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


def create_missing_database(settings: Settings) -> None:
    """Create the database if the server does not have it; raises UsageError where the role may not."""
    from psycopg import errors
    from sqlalchemy.exc import DBAPIError, ProgrammingError

    url = dagster_database_url(settings)
    if _exists(url):
        return
    # Created from the database of our schema, which exists; on another server, from the one that every server has.
    own = direct_url(settings) or database_url(settings)
    same_server = (own.host, own.port, own.query.get("host")) == (url.host, url.port, url.query.get("host"))
    engine = make_engine(url.set(database=own.database if same_server else "postgres"), options=_once())
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            name = connection.dialect.identifier_preparer.quote_identifier(url.database or "")
            connection.execute(text(f"CREATE DATABASE {name}"))
    except ProgrammingError as error:
        # Another process has just created it.
        if not isinstance(error.orig, errors.DuplicateDatabase):
            raise UsageError(
                f"the database {url.database} for Dagster's storage does not exist, and {url.username} may not create "
                f"it; create it: CREATE DATABASE {url.database} OWNER {url.username}."
            ) from error
    except DBAPIError as error:
        if not isinstance(error.orig, errors.UniqueViolation):
            raise explain_error(error) or error from error
    finally:
        engine.dispose()


@contextmanager
def creation_lock(settings: Settings) -> Iterator[None]:
    """Hold a lock in the database while tables are created there: processes that create them together fail."""
    engine = make_engine(dagster_database_url(settings), options=_once())
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(_LOCK, _LOCK_NAME)
            yield
            connection.execute(_UNLOCK, _LOCK_NAME)
    finally:
        engine.dispose()


def _exists(url: URL) -> bool:
    from sqlalchemy.exc import OperationalError

    engine = make_engine(url, options=_once())
    try:
        engine.connect().close()
    except OperationalError as error:
        if f'database "{url.database}" does not exist' in str(error) or _MISSING_DATABASE in str(error):
            return False
        raise explain_error(error) or UsageError(
            f"{_SETTING}: {format_url(url)} cannot be reached; correct it."
        ) from error
    finally:
        engine.dispose()
    return True


def _once() -> EngineOptions:
    return EngineOptions(application_name="rag_assets dagster", pool_size=1, pooler=False, unlimited=True)

"""The extension pgvector: create it, check its version, or raise an error that says who must do what."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from rag_assets.errors import ServiceError

# Older versions overflow a buffer in parallel HNSW builds and can lose index entries in vacuum.
MINIMUM_VERSION = (0, 8, 4)


def pgvector_version(connection: Connection) -> str | None:
    """The version of the extension in this database, or None if it was not created."""
    version: str | None = connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    return version


def ensure_pgvector(connection: Connection) -> str:
    """Create the extension if it is missing, and return its version.

    Raises ServiceError if this role may not create it, the server lacks it, or it is older than 0.8.4; the message
    has the statement that an administrator must run.
    """
    version = pgvector_version(connection)
    if version is None:
        _create(connection)
        version = pgvector_version(connection) or ""
    if tuple(int(part) for part in version.split(".") if part.isdigit()) < MINIMUM_VERSION:
        raise ServiceError(
            f"pgvector {version} in database {_database(connection)} is older than 0.8.4; install a newer version "
            "on the server, then let an administrator run: ALTER EXTENSION vector UPDATE;"
        )
    return version


def _create(connection: Connection) -> None:
    available = connection.scalar(text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"))
    if available is None:
        raise ServiceError(
            f"the PostgreSQL server of database {_database(connection)} has no pgvector; "
            "install pgvector 0.8.4 or newer on the server, then run the command again."
        )
    try:
        with connection.begin_nested():
            # The search path may name no schema that exists.
            where = "" if connection.scalar(text("SELECT current_schema()")) else " WITH SCHEMA rag"
            connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS vector{where}"))
            if where:
                connection.execute(text("SET LOCAL search_path = rag"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        raise ServiceError(
            f"role {connection.scalar(text('SELECT current_user'))} may not create the extension vector in "
            f"database {_database(connection)}; let an administrator run there: CREATE EXTENSION vector;"
        ) from None


def _database(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT current_database()")))

"""Databases to throw away, for tests."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from psycopg import sql
from sqlalchemy import URL, make_url, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.connections.urls import DRIVER
from rag_assets.db.schema.ddl import execute_ddl
from rag_assets.db.schema.migrations import upgrade


@contextmanager
def temporary_database(server: str | URL | None = None) -> Iterator[str]:
    """The URL of a new database at the newest schema, which is dropped at the end.

    `server` is the URL of any database on a server where the role may create databases; without it an embedded server
    is started in a temporary folder and stopped at the end (about two seconds: start one for many tests, and give its
    URL here). The databases need not outlive the machine, so the embedded server never waits for the disk.
    """
    if server is None:
        with _temporary_server() as started, temporary_database(started) as url:
            yield url
        return
    admin = make_engine(make_url(server).set(drivername=DRIVER)).execution_options(isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex[:12]}"
    database = admin.url.set(database=name)
    try:
        with admin.connect() as connection:
            execute_ddl(connection, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            engine = make_engine(database)
            upgrade(engine)
            engine.dispose()
            yield database.render_as_string(hide_password=False)
        finally:
            with admin.connect() as connection:
                execute_ddl(connection, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    finally:
        admin.dispose()


@contextmanager
def _temporary_server() -> Iterator[URL]:
    from rag_assets.db.server.server import EmbeddedServer

    state = Path(tempfile.mkdtemp(prefix="rag-assets-"))
    embedded = EmbeddedServer.at(state)
    try:
        url = make_url(embedded.ensure_running()).set(drivername=DRIVER)
        engine = make_engine(url).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                execute_ddl(connection, sql.SQL("ALTER SYSTEM SET {} TO off").format(sql.Identifier(setting)))
            connection.execute(text("SELECT pg_reload_conf()"))
        engine.dispose()
        yield url
    finally:
        embedded.stop()
        shutil.rmtree(state, ignore_errors=True)

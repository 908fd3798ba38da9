"""A PostgreSQL of the torture's own, which it stops, starts and looks into."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from rag_assets.db.server import process
from rag_assets.db.server.server import EmbeddedServer

# Crashes of the server alone lose nothing without fsync; only a crash of the machine would.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "jit": "off",
    # Statements are recognized by their text, and some are long.
    "track_activity_query_size": "16384",
}


class Server:
    def __init__(self, state: Path) -> None:
        self._embedded = EmbeddedServer.at(state)
        self._url = make_url(self._embedded.ensure_running())
        for name, value in SETTINGS.items():
            self.execute("postgres", sql.SQL("ALTER SYSTEM SET {} TO {}").format(sql.Identifier(name), value))
        self._embedded.stop()
        self._embedded.ensure_running()

    def url(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    def connect(self, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self.url(database), autocommit=True, application_name="torture")

    def execute(self, database: str, *statements: Any) -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, database: str, query: Any, values: Any = None) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(query, values).fetchall()

    def copy(self, template: str, name: str) -> None:
        self.execute(
            "postgres",
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)),
        )

    def drop(self, name: str) -> None:
        self.execute("postgres", sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def stop_immediately(self) -> None:
        """End the server without a checkpoint, as a crash does; it recovers when it starts again."""
        self._signal(signal.SIGQUIT)

    def stop_fast(self) -> None:
        """End all sessions, and the server, as an administrator does."""
        self._signal(signal.SIGINT)

    def start(self) -> None:
        self._embedded.ensure_running()

    def close(self) -> None:
        self._embedded.stop()

    def temporary_files(self) -> list[str]:
        folders = self._embedded.data.glob("base/pgsql_tmp/*")
        return sorted(path.name for path in folders)

    def _signal(self, number: signal.Signals) -> None:
        found = process.find_living(self._embedded.data)
        assert found is not None, "the server does not run"
        os.kill(found.pid, number)
        while process.find_living(self._embedded.data) is not None:
            time.sleep(0.005)


@contextmanager
def running_server(state: Path) -> Iterator[Server]:
    server = Server(state)
    try:
        yield server
    finally:
        server.close()

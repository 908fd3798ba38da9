"""A server for all tests of a module, on a database with two projects, with the real model."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.serve.access.keys import add_key
from tests.support.database.database_server import DatabaseServer
from tests.support.installation.installations import install
from tests.support.installation.server_process import RunningServer, running_web_server


@dataclass(frozen=True)
class ServedInstallation:
    server: RunningServer
    engine: Engine
    key: str


@pytest.fixture(scope="module")
def installation(
    databases: DatabaseServer, built_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedInstallation]:
    root = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as monkeypatch, databases.copy(built_template) as url:
        install(url, root, monkeypatch)
        engine = make_engine(url)
        with engine.begin() as connection:
            # Shown on the page.
            connection.execute(text("UPDATE rag.projects SET source_uri = '/srv/documents/' || name"))
            key = add_key(connection, "tests", may_write=True).token
        with running_web_server(root) as server:
            yield ServedInstallation(server, engine, key)
        engine.dispose()

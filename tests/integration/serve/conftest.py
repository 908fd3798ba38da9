"""The application over a database with two projects, asked without a socket."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import Engine

from rag_assets import AsyncClient
from rag_assets.db.connections.engines import make_engine
from rag_assets.serve.access.keys import add_key
from rag_assets.serve.app import make_app
from rag_assets.settings.settings import load_settings
from rag_assets.testing import HashEncoder
from tests.support.database.database_server import DatabaseServer
from tests.support.installation.installations import install

OWNER_TOKEN = "owner-token"


class Asker:
    """Sends requests to the application, in an event loop of its own."""

    def __init__(self, engine: Engine, **settings: Any) -> None:
        self.engine = engine
        self.runner = asyncio.Runner()
        self.client = AsyncClient(load_settings().model_copy(update=settings), encoder=HashEncoder())
        self.runner.run(self.client.open())
        self.app = make_app(self.client, owner_token=OWNER_TOKEN)
        # An exception is a 500, as a server sends it.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://server")

    def key(self, name: str, **options: Any) -> str:
        with self.engine.begin() as connection:
            return add_key(connection, name, **options).token

    def send(self, method: str, path: str, key: str | None = OWNER_TOKEN, **options: Any) -> httpx.Response:
        headers = options.pop("headers", {}) | ({} if key is None else {"authorization": f"Bearer {key}"})
        return self.runner.run(self.http.request(method, path, headers=headers, **options))

    def get(self, path: str, key: str | None = OWNER_TOKEN, **options: Any) -> httpx.Response:
        return self.send("GET", path, key, **options)

    def post(self, path: str, body: Any, key: str | None = OWNER_TOKEN, **options: Any) -> httpx.Response:
        return self.send("POST", path, key, json=body, **options)

    def close(self) -> None:
        self.runner.run(self.http.aclose())
        self.runner.run(self.client.close(1))
        self.runner.close()


@pytest.fixture
def asker(built: Engine) -> Iterator[Asker]:
    asker = Asker(built)
    yield asker
    asker.close()


@pytest.fixture(scope="module")
def shared_asker(
    databases: DatabaseServer, built_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asker]:
    """For tests that change nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch, databases.copy(built_template) as url:
        install(url, tmp_path_factory.mktemp("shared"), monkeypatch)
        engine = make_engine(url)
        asker = Asker(engine)
        yield asker
        asker.close()
        engine.dispose()


@pytest.fixture
def limited(built: Engine) -> Iterator[Callable[..., Asker]]:
    """Makes applications with other settings."""
    made: list[Asker] = []

    def make(**settings: Any) -> Asker:
        made.append(Asker(built, **settings))
        return made[-1]

    yield make
    for asker in made:
        asker.close()

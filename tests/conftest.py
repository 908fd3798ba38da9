"""One embedded server a session, one database a test (copied from a migrated template), no network, no mocks."""

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from dagster import DagsterInstance
from sqlalchemy import URL, Engine, event, make_url, text

from rag_assets.cli.runtime.installation import enter
from rag_assets.db.connections.engines import DRIVER, make_engine
from rag_assets.db.database import dispose_engines
from rag_assets.db.schema import migrations
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.pipeline.audit import latency
from rag_assets.settings.settings import Settings

# What starts commands, servers and browsers takes longest and runs first, so that no worker is left alone with it.
FIRST = ("launch", "packaging", "ui", "cli")
TEMPLATE = "rag_template"
BUILT_TEMPLATE = "rag_built_template"
# Filling and indexing the probe of the speed check takes longer than all else that a run of a job does with little in
# it. Ten thousand are what the check's own tests look at, the built database has, and commands of their own take.
PROBED = 1_000

# What a developer has set must not reach the tests, and nothing may ask a model hub for anything.
for name in [name for name in os.environ if name.startswith(("RAG_ASSETS_", "DAGSTER_"))]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.parent.name) if item.path.parent.name in FIRST else len(FIRST))


@event.listens_for(Engine, "connect")
def _never_wait_for_the_disk_either(connection: Any, _record: object) -> None:
    """Dagster's history in SQLite need not outlive the machine, as the databases below need not."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The address of the session's server, as its superuser."""
    state = Path(tempfile.mkdtemp(prefix="rag-tests-"))
    embedded = EmbeddedServer.at(state)
    try:
        url = make_url(embedded.ensure_running()).set(drivername=DRIVER)
        _never_wait_for_the_disk(url)
        yield url
    finally:
        embedded.stop()
        shutil.rmtree(state, ignore_errors=True)


def _never_wait_for_the_disk(url: URL) -> None:
    """These databases need not outlive the machine, and most of a test's time would be waiting for the disk."""
    engine = make_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} TO off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


@pytest.fixture(scope="session")
def admin(server: URL) -> Iterator[Engine]:
    """Outside any transaction, to create and drop databases."""
    engine = make_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template(admin: Engine) -> str:
    """A database at the newest revision, from which each test's own is copied."""
    url = admin.url.set(database=TEMPLATE)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    engine = make_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    return TEMPLATE


@pytest.fixture
def empty_database(admin: Engine) -> Iterator[URL]:
    """The address of a new, empty database."""
    yield from new_database(admin, "template1")


@pytest.fixture
def database(admin: Engine, template: str) -> Iterator[URL]:
    """The address of a new database at the newest revision."""
    yield from new_database(admin, template)


def new_database(admin: Engine, template: str) -> Iterator[URL]:
    name = f"test_{uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
    yield admin.url.set(database=name)
    dispose_engines()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = make_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own: state folder, DAGSTER_HOME and database, by environment, as a user sets them."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBED)
    return install(database, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def built_template(admin: Engine, template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database in which two projects were ingested and passed all checks; see tests/corpus.py."""
    from tests.support.corpus import build

    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {BUILT_TEMPLATE} TEMPLATE {template} STRATEGY file_copy"))
    url = admin.url.set(database=BUILT_TEMPLATE)
    root = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as monkeypatch, DagsterInstance.ephemeral() as instance:
        install(url, root, monkeypatch)
        engine = make_engine(url)
        build(engine, root / "folders", instance)
        engine.dispose()
        dispose_engines()
    return BUILT_TEMPLATE


@pytest.fixture
def built(admin: Engine, built_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A copy of the built database, to break: the settings in the environment are those of its installation."""
    for url in new_database(admin, built_template):
        install(url, tmp_path, monkeypatch)
        engine = make_engine(url)
        yield engine
        engine.dispose()


def install(url: URL, root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(root)
    monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(root / "state"))
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("DAGSTER_HOME", str(root / "state" / "dagster_home"))
    shutil.copytree(new_home(), root / "state" / "dagster_home", dirs_exist_ok=True)
    return enter()


@cache
def new_home() -> Path:
    """A DAGSTER_HOME in which Dagster has made its tables, which takes longer than to copy them."""
    home = Path(tempfile.mkdtemp(prefix="rag-home-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RAG_ASSETS_STATE_DIR", str(home))
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        enter()
        with DagsterInstance.get():
            return home

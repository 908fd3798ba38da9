"""One server for all processes, a database for each test (copied from a template), no network, no mocks."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from dagster import DagsterInstance
from sqlalchemy import URL, Engine, event, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.database import dispose_engines
from rag_assets.db.schema import migrations
from rag_assets.pipeline.audit import latency
from rag_assets.settings.settings import Settings
from tests.support.database_server import DatabaseServer, hash_files, running_server
from tests.support.duration_limit import DurationLimit
from tests.support.installations import PROBE_VECTORS, install
from tests.support.paths import ROOT

# What starts commands, servers and browsers takes longest and runs first, so that no worker is left alone with it.
FIRST = ("launch", "packaging", "ui", "cli")
SCHEMA_SOURCES = (ROOT / "migrations", ROOT / "rag_assets" / "db")
CORPUS_SOURCES = (
    *(ROOT / "migrations", ROOT / "rag_assets"),
    *(ROOT / "tests" / "support" / f"{name}.py" for name in ("corpus", "fakes", "runs")),
)

# What a developer has set must not reach the tests, and nothing may ask a model hub for anything.
for name in [name for name in os.environ if name.startswith(("RAG_ASSETS_", "DAGSTER_"))]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "true"

# Few examples of property tests while developing; `--hypothesis-profile ci` for all.
for profile, examples in (("dev", 30), ("ci", 150)):
    hypothesis.settings.register_profile(profile, max_examples=examples, deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--longest-s", type=float, help="fail when the body of a test takes longer than this")


def pytest_configure(config: pytest.Config) -> None:
    limit_s = config.getoption("--longest-s")
    # Workers send their reports to the main process.
    if limit_s is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(DurationLimit(limit_s))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: FIRST.index(item.path.parent.name) if item.path.parent.name in FIRST else len(FIRST))


@event.listens_for(Engine, "connect")
def _never_wait_for_the_disk(connection: Any, _record: object) -> None:
    """Dagster's history in SQLite need not outlive the machine, as the databases of tests need not."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def databases() -> Iterator[DatabaseServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def server(databases: DatabaseServer) -> URL:
    """The address of the server, as its superuser."""
    return databases.url


@pytest.fixture(scope="session")
def admin(databases: DatabaseServer) -> Engine:
    """Outside any transaction, and in no test's database."""
    return databases.admin


@pytest.fixture(scope="session")
def template(databases: DatabaseServer) -> Iterator[str]:
    """A database at the newest revision, from which each test's own is copied."""

    def fill(url: URL, _files: Path) -> None:
        engine = make_engine(url)
        migrations.upgrade(engine)
        engine.dispose()

    with databases.template("schema", hash_files(SCHEMA_SOURCES), fill, of="template1") as name:
        yield name


@pytest.fixture
def empty_database(databases: DatabaseServer) -> Iterator[URL]:
    """The address of a new, empty database."""
    with databases.copy("template1") as url:
        yield url


@pytest.fixture
def database(databases: DatabaseServer, template: str) -> Iterator[URL]:
    """The address of a new database at the newest revision."""
    with databases.copy(template) as url:
        yield url


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = make_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBE_VECTORS)
    return install(database, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def corpus_digest(template: str) -> str:
    """Changes with all that decides what a pipeline makes of documents; and every day, for what must be fresh."""
    return hash_files(CORPUS_SOURCES, datetime.now(UTC).date().isoformat(), template)


@pytest.fixture(scope="session")
def built_template(
    databases: DatabaseServer, template: str, corpus_digest: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database in which two projects were ingested and passed all checks; see tests/support/corpus.py."""
    from tests.support.corpus import build

    def fill(url: URL, files: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch, DagsterInstance.ephemeral() as instance:
            install(url, tmp_path_factory.mktemp("built"), monkeypatch)
            engine = make_engine(url)
            build(engine, files / "folders", instance)
            engine.dispose()
            dispose_engines()

    with databases.template("corpus", corpus_digest, fill, of=template) as name:
        yield name


@pytest.fixture(scope="session")
def corpus_folders(databases: DatabaseServer, built_template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of the built projects: this process's own, since tests add files to them."""
    return shutil.copytree(databases.files(built_template) / "folders", tmp_path_factory.mktemp("corpus") / "folders")


@pytest.fixture
def built(
    databases: DatabaseServer,
    built_template: str,
    corpus_folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """A copy of the built database, to break: the settings in the environment are those of its installation."""
    with databases.copy(built_template) as url:
        install(url, tmp_path, monkeypatch)
        engine = make_engine(url)
        move_sources(engine, corpus_folders)
        yield engine
        engine.dispose()


def move_sources(engine: Engine, folders: Path) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE rag.projects SET source_uri = :folder || '/' || name"), {"folder": str(folders)}
        )

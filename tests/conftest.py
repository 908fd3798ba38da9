"""One database server for all processes, a database per test (copied from a template), no network, no mocks."""

import gc
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster import DagsterInstance
from sqlalchemy import URL, Engine, event, text

from rag_assets.db.connections.engines import make_engine
from rag_assets.db.database import dispose_engines
from rag_assets.db.schema import migrations
from rag_assets.pipeline.audit import latency
from rag_assets.settings.settings import Settings
from tests.support.database.database_server import DatabaseServer, hash_files, running_server
from tests.support.duration_limit import DurationLimit
from tests.support.installation.installations import PROBE_VECTORS, install
from tests.support.paths import ROOT

# The modules that take longest run first, so that no worker is last with one: each is run by one worker.
FIRST = (
    *("packaging/test_wheel.py", "workers/test_workers.py", "benchmarks/test_load.py", "ui/test_ui.py"),
    *("launch/test_cancelling.py", "launch/test_servers.py", "cli/test_processes.py", "launch/test_commands.py"),
    *("checks/test_repeated_runs.py", "automation/test_file_drop.py", "launch/test_backfills.py", "docs/test_pages.py"),
    *("pipeline/test_crash.py", "server/test_server.py", "launch/test_interrupting.py", "serve/test_server.py"),
)
SCHEMA_SOURCES = (ROOT / "migrations", ROOT / "rag_assets" / "db")
CORPUS_SOURCES = (
    *(ROOT / "migrations", ROOT / "rag_assets"),
    *(ROOT / "tests" / "support" / f"{name}.py" for name in ("data/corpus", "fakes", "pipeline/runs")),
)

# A developer's settings must not reach the tests, and no test may contact a model hub.
for name in [name for name in os.environ if name.startswith(("RAG_ASSETS_", "DAGSTER_"))]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "true"

# Property tests use few examples during development; CI uses `--hypothesis-profile ci`.
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
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(f"{item.path.parent.name}/{item.path.name}", len(FIRST)))


def pytest_collection_finish() -> None:
    """Dagster and its like are a million objects that stay: without them in each collection the tests need 7% less."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@event.listens_for(Engine, "connect")
def _disable_sqlite_fsync(connection: Any, _record: object) -> None:
    """Dagster's history in SQLite need not survive a crash of the machine."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session", autouse=True)
def _load_migration_scripts_once() -> Iterator[None]:
    """Dagster loads a hundred scripts of its own for each history that it opens, a twentieth of the tests' time."""
    load = ScriptDirectory.from_config
    loaded: dict[str | None, ScriptDirectory] = {}

    def load_once(config: Config) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in loaded:
            loaded[location] = load(config)
        return loaded[location]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(ScriptDirectory, "from_config", load_once)
        yield


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
    """An engine in autocommit mode, not connected to the database of a test."""
    return databases.admin


@pytest.fixture(scope="session")
def template(databases: DatabaseServer) -> Iterator[str]:
    """The template at the newest revision that the database of each test is copied from."""

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
    """The settings of a new installation for this test."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBE_VECTORS)
    return install(database, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def corpus_digest(template: str) -> str:
    """Changes with all code that decides what the pipeline writes, and every day, for the checks of freshness."""
    return hash_files(CORPUS_SOURCES, datetime.now(UTC).date().isoformat(), template)


@pytest.fixture(scope="session")
def built_template(
    databases: DatabaseServer, template: str, corpus_digest: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The template with two projects that were ingested and passed all checks; see tests/support/data/corpus.py."""
    from tests.support.data.corpus import build

    def fill(url: URL, files: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch, DagsterInstance.ephemeral() as instance:
            monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBE_VECTORS)
            install(url, tmp_path_factory.mktemp("built"), monkeypatch)
            engine = make_engine(url)
            build(engine, files / "folders", instance)
            engine.dispose()
            dispose_engines()

    with databases.template("corpus", corpus_digest, fill, of=template) as name:
        yield name


@pytest.fixture(scope="session")
def corpus_folders(databases: DatabaseServer, built_template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of the built projects, copied for this process since tests add files to them."""
    return shutil.copytree(databases.files(built_template) / "folders", tmp_path_factory.mktemp("corpus") / "folders")


@pytest.fixture
def built(
    databases: DatabaseServer,
    built_template: str,
    corpus_folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Engine]:
    """A copy of the built database that the test may damage; the environment has the settings of its installation."""
    with databases.copy(built_template) as url:
        monkeypatch.setattr(latency, "MEASURED_VECTORS", PROBE_VECTORS)
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

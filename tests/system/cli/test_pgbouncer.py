"""Commands and searches through a real pgbouncer in transaction mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from rag_assets.db.database import shared_engine
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings, load_settings
from tests.support.database.pgbouncer import needs_pgbouncer, run_pgbouncer
from tests.support.fakes import HashEncoder
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, rows

pytestmark = needs_pgbouncer


@pytest.fixture
def pooler_url(server: URL, database: URL, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """The settings contain only the address of the pooler."""
    with run_pgbouncer(server) as url:
        url = url.set(database=database.database)
        monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", url.render_as_string(hide_password=False))
        yield url


def test_ingest_and_search_use_the_pooler_and_locks_bypass_it(
    cli: Cli, folder: Path, pooler_url: URL, database: URL, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cli("ingest", folder, "--project", "zoo")
    assert result.code == 2
    assert "needs a session of its own" in result.err
    assert "RAG_ASSETS_DIRECT_DATABASE_URL" in result.err

    monkeypatch.setenv("RAG_ASSETS_DIRECT_DATABASE_URL", database.render_as_string(hide_password=False))
    first = cli("ingest", folder, "--project", "zoo", "--json")
    assert first.code == 0, first.err
    assert (first.json["documents"]["new"], first.json["vectors"]) == (3, first.json["texts"]["distinct"])
    again = cli("ingest", "--project", "zoo", "--json")
    assert again.code == 0, again.err
    assert (again.json["documents"]["unchanged"], again.json["texts"]["embedded"]) == (3, 0)
    # One engine, and more searches than psycopg runs before it prepares a statement.
    retriever = Retriever(shared_engine(load_settings(), "read"), encoder=lambda space: HashEncoder(space.dimensions))
    for mode in ("vector", "text", "hybrid"):
        for _ in range(7):
            answer = retriever.search("Zebras have stripes.", mode=mode, timeout_s=60)
            assert answer.hits[0].file_path == "zebra.md"
    found = cli("search", "Zebras have stripes.", "--json")
    assert found.code == 0, found.err
    assert found.json["hits"][0]["file_path"] == "zebra.md"
    assert cli("check").code == 0
    health = cli("status", "--health", "--json")
    assert (health.code, health.json["healthy"]) == (0, True), health
    assert {check["name"] for check in health.json["checks"]} >= {"connect", "direct"}
    assert rows(engine, COUNT_ADVISORY_LOCKS) == [(0,)]


def test_migrations_bypass_the_pooler(
    cli: Cli, empty_database: URL, pooler_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = pooler_url.set(database=empty_database.database).render_as_string(hide_password=False)
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", address)
    result = cli("db", "upgrade")
    assert result.code == 2
    assert "alembic upgrade needs a session of its own" in result.err
    monkeypatch.setenv("RAG_ASSETS_DIRECT_DATABASE_URL", empty_database.render_as_string(hide_password=False))
    assert cli("db", "upgrade").code == 0
    assert cli("db", "check").code == 0

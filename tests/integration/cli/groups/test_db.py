"""rag-assets db: the schema and the server."""

import psycopg
import pytest
from sqlalchemy import URL, Engine

from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli


def test_up_down_and_up_again(
    empty_database: URL, settings: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", empty_database.render_as_string(hide_password=False))
    assert "db upgrade" in cli("db", "current").out
    up = cli("db", "upgrade")
    assert up.code == 0
    head = up.out.strip()
    assert cli("db", "current").out.strip() == head
    assert cli("db", "check").code == 0
    assert cli("db", "downgrade", "0001").out.strip() == "0001"
    assert cli("db", "check").error(2)
    assert cli("db", "downgrade", "base").out.strip() == "base"
    assert cli("db", "upgrade", "0002").out.strip() == "0002"
    assert cli("db", "upgrade").out.strip() == head


def test_difference_between_models_and_database_is_2(engine: Engine, settings: Settings, cli: Cli) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE rag.documents DROP COLUMN title")
    assert "title" in cli("db", "check").error(2)


def test_unknown_revision_is_2(settings: Settings, cli: Cli) -> None:
    assert "9999" in cli("db", "upgrade", "9999").error(2)
    assert "9999" in cli("db", "downgrade", "9999").error(2)


def test_url_is_one_that_other_programs_take(settings: Settings, cli: Cli) -> None:
    said = cli("db", "url")
    assert said.code == 0
    with psycopg.connect(said.out.strip()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_server_that_is_not_ours_is_not_stopped(settings: Settings, engine: Engine, cli: Cli) -> None:
    assert "not ours to stop" in cli("db", "stop").out
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1

"""rag-assets db: the schema and the server."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli


def test_the_schema_is_upgraded_downgraded_and_upgraded_again(
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


def test_check_exits_with_2_if_models_and_database_differ(engine: Engine, settings: Settings, cli: Cli) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE rag.documents DROP COLUMN title CASCADE")
    assert "title" in cli("db", "check").error(2)


def test_an_unknown_revision_exits_with_2(settings: Settings, cli: Cli) -> None:
    assert "9999" in cli("db", "upgrade", "9999").error(2)
    assert "9999" in cli("db", "downgrade", "9999").error(2)


def test_url_prints_a_url_that_psycopg_accepts(settings: Settings, cli: Cli) -> None:
    result = cli("db", "url")
    assert result.code == 0
    with psycopg.connect(result.out.strip()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_stop_does_not_stop_an_external_server(settings: Settings, engine: Engine, cli: Cli) -> None:
    assert "not ours to stop" in cli("db", "stop").out
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


@pytest.mark.parametrize(
    ("statement", "commands", "said"),
    [
        (
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
            (("ingest",), ("projects", "list"), ("repair",), ("maintain",)),
            "ALTER DATABASE {database} RESET default_transaction_read_only;",
        ),
        ("DROP TABLE rag.projects CASCADE", (("projects", "list"), ("status",)), '"rag.projects"'),
        (
            'ALTER TABLE rag.projects RENAME COLUMN name TO "Name"',
            (("projects", "list"), ("ingest",)),
            "does not exist",
        ),
        (
            "DROP EXTENSION vector CASCADE",
            (("ingest",), ("search", "x")),
            "the extension vector is missing",
        ),
    ],
)
def test_whatever_the_database_answers_is_one_line(
    settings: Settings,
    database: URL,
    engine: Engine,
    cli: Cli,
    folder: Path,
    statement: str,
    commands: tuple[Any, ...],
    said: str,
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement.format(database=database.database))
    engine.dispose()
    for name, *arguments in commands:
        command = name, *arguments, *([folder] if name == "ingest" else [])
        assert said.format(database=database.database) in cli(*command).error(3), command


def test_the_key_of_signatures_is_replaced(built: Engine, cli: Cli) -> None:
    with built.connect() as connection:
        before = connection.exec_driver_sql("SELECT inner_pad FROM rag.viewer_key").scalar()
    assert "there is a new key" in cli("db", "roles", "--new-key").out
    with built.connect() as connection:
        assert connection.exec_driver_sql("SELECT inner_pad FROM rag.viewer_key").scalar() != before

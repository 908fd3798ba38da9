"""rag-assets ingest of a table: the password is given once, and is shown and stored nowhere with the project."""

import json
import stat
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, text

from rag_assets.orchestration.assets.sources import listing_fingerprint
from rag_assets.projects.settings import ProjectSettings
from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.pipeline.runs import rows, run

PASSWORD = "ge%heim@/?#"
WRITTEN = "ge%25heim%40%2F%3F%23"
QUERY = "table=items&id=id&text=body&metadata=lang,price&version=updated_at"


@pytest.fixture
def shop(engine: Engine, admin: Engine) -> Iterator[str]:
    """The address of the shop without user and password; the user `reader` may only SELECT, with a password."""
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE items (id int PRIMARY KEY, body text, lang text, price numeric, updated_at timestamptz)",
            "INSERT INTO items SELECT n, 'item ' || n, 'en', n, now() FROM generate_series(1, 5) AS n",
            "DROP ROLE IF EXISTS rows_reader",
            f"CREATE ROLE rows_reader LOGIN PASSWORD '{PASSWORD}'",
            "GRANT SELECT ON items TO rows_reader",
        ):
            connection.execute(text(statement))
    url = engine.url
    host = url.query.get("host", "")
    yield f"@{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database}?{QUERY}" + (
        f"&host={host}&port={url.query.get('port', 5432)}" if host else ""
    )
    with engine.begin() as connection:
        connection.execute(text("REVOKE ALL ON items FROM rows_reader"))
    with admin.connect() as connection:
        connection.execute(text("DROP ROLE rows_reader"))


def test_a_table_is_ingested_and_read_again_without_the_password(
    settings: Settings, engine: Engine, shop: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, server: URL
) -> None:
    stored = f"sql+postgresql://rows_reader{shop}"
    first = cli("ingest", f"sql+postgresql://rows_reader:{WRITTEN}{shop}", "--project", "items", "--json")
    assert first.code == 0, first.err
    assert first.json["documents"]["new"] == 5
    assert first.json["texts"]["embedded"] == 5
    assert rows(engine, "SELECT source_uri FROM rag.projects") == [(stored,)]

    with engine.begin() as connection:
        connection.execute(text("UPDATE items SET lang = 'fr', updated_at = now() + interval '1 s' WHERE id = 1"))
        connection.execute(text("UPDATE items SET body = 'a lamp', updated_at = now() + interval '1 s' WHERE id = 2"))
    second = cli("ingest", "--project", "items", "--json")
    assert second.code == 0, second.err
    assert (second.json["documents"]["changed"], second.json["texts"]["embedded"]) == (2, 1)
    # A run of the UI or of a schedule, and the sensor.
    assert run(key="items").success
    assert listing_fingerprint(stored, ProjectSettings(), settings.state_dir, "items")

    listed = cli("projects", "list", "--json")
    assert listed.json["projects"][0]["source"] == stored
    (file,) = settings.state_dir.glob("source_passwords.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = "".join(result.out + result.err for result in (first, second, listed))
    everything = rows(engine, "SELECT to_jsonb(p)::text FROM rag.projects p")[0][0]
    for secret in (PASSWORD, WRITTEN, json.dumps(PASSWORD)):
        assert secret not in shown + everything

    file.unlink()
    if server.password is None:
        return  # The server trusts every connection.
    error = cli("ingest", "--project", "items").error(2)
    assert "RAG_ASSETS_SOURCE_ITEMS_PASSWORD" in error
    monkeypatch.setenv("RAG_ASSETS_SOURCE_ITEMS_PASSWORD", "wrong")
    error = cli("ingest", "--project", "items").error(2)
    assert "password authentication failed" in error
    monkeypatch.setenv("RAG_ASSETS_SOURCE_ITEMS_PASSWORD", PASSWORD)
    assert cli("ingest", "--project", "items", "--json").json["documents"]["unchanged"] == 5


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (QUERY.replace("items", "item"), "there is no table 'item'; did you mean 'items'?"),
        (QUERY.replace("body", "text"), "text=text: there is no column 'text' in items"),
        (QUERY.replace("table=items", 'table=items"; DROP TABLE items; --'), "there is no table"),
        (QUERY.replace("id=id", "id=lang"), "has two rows with the id 'en'"),
    ],
)
def test_a_wrong_name_is_one_sentence(
    settings: Settings, engine: Engine, shop: str, cli: Cli, query: str, message: str
) -> None:
    found = cli("ingest", f"sql+postgresql://rows_reader:{WRITTEN}{shop}".replace(QUERY, query), "--project", "x")
    assert found.code == 2, found
    assert message in found.err
    assert "Traceback" not in found.err
    assert rows(engine, "SELECT count(*) FROM items") == [(5,)]

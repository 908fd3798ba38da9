"""A source type of another package, from its entry point to the stored rows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets.documents.sources.source_types import ENTRY_POINT_GROUP
from rag_assets.orchestration.assets.sources import listing_fingerprint
from rag_assets.projects.settings import ProjectSettings
from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.installation.packages import install_package
from tests.support.pipeline.runs import rows

CODE = r'''
"""Solved tickets of a help desk as documents: helpdesk:///srv/helpdesk.sqlite"""

import sqlite3
from collections.abc import Iterator, Sequence

from rag_assets import DocumentError, SourceFile


class Tickets:
    def __init__(self, uri: str, *, include: Sequence[str], exclude: Sequence[str], max_bytes: int | None) -> None:
        self.uri = uri
        path = uri.removeprefix("helpdesk://")
        self._database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)

    def list(self) -> Iterator[SourceFile]:
        for number, changed_at in self._database.execute("SELECT number, changed_at FROM tickets WHERE solved"):
            yield SourceFile(f"ticket-{number}.md", version=changed_at, size_bytes=None)

    def read(self, path: str) -> bytes:
        number = path.removeprefix("ticket-").removesuffix(".md")
        query = "SELECT title, text FROM tickets WHERE number = ?"
        ticket = self._database.execute(query, [number]).fetchone()
        if ticket is None:
            raise DocumentError(f"ticket {number} has been deleted")
        return "# {}\n\n{}\n".format(*ticket).encode()

    def close(self) -> None:
        self._database.close()
'''


@pytest.fixture
def tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """The database of a help desk, with the package of its source type installed."""
    install_package(tmp_path, monkeypatch, "helpdesk", CODE, {"helpdesk": "helpdesk:Tickets"}, ENTRY_POINT_GROUP)
    with closing(sqlite3.connect(tmp_path / "helpdesk.sqlite", isolation_level=None)) as database:
        database.execute(
            "CREATE TABLE tickets (number INTEGER, title TEXT, text TEXT, changed_at TEXT, solved INTEGER)"
        )
        database.executemany(
            "INSERT INTO tickets VALUES (?, ?, ?, ?, ?)",
            [
                (1, "The printer is silent", "Switch it on.", "2026-01-01", 1),
                (2, "The whale is hungry", "Feed it before the storm.", "2026-01-02", 1),
                (3, "The tide is late", "", "2026-01-03", 0),
            ],
        )
        yield database


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"helpdesk://{tmp_path}/helpdesk.sqlite"


def documents(engine: Engine) -> list[Any]:
    return rows(engine, "SELECT file_path, title, source_version FROM rag.documents ORDER BY file_path")


def test_the_source_is_ingested_and_kept_up_to_date(
    settings: Settings, engine: Engine, tickets: sqlite3.Connection, uri: str, cli: Cli
) -> None:
    first = cli("ingest", uri, "--project", "tickets", "--json")
    assert first.code == 0, first.err
    assert first.json["documents"] == {"seen": 2, "new": 2, "changed": 0, "unchanged": 0, "deleted": 0, "failed": 0}
    assert documents(engine) == [
        ("ticket-1.md", "The printer is silent", "2026-01-01"),
        ("ticket-2.md", "The whale is hungry", "2026-01-02"),
    ]
    assert rows(engine, "SELECT source_uri FROM rag.projects") == [(uri,)]

    tickets.execute("UPDATE tickets SET text = 'Feed it.', changed_at = '2026-02-01' WHERE number = 2")
    tickets.execute("UPDATE tickets SET solved = 1, text = 'Wait.' WHERE number = 3")
    tickets.execute("UPDATE tickets SET solved = 0 WHERE number = 1")
    second = cli("ingest", "--project", "tickets", "--json")
    assert second.code == 0, second.err
    assert second.json["documents"] == {"seen": 2, "new": 1, "changed": 1, "unchanged": 0, "deleted": 1, "failed": 0}


def test_a_document_of_a_known_version_is_not_read_again(
    settings: Settings, engine: Engine, tickets: sqlite3.Connection, uri: str, cli: Cli
) -> None:
    assert cli("ingest", uri, "--project", "tickets", "--json").code == 0
    tickets.execute("UPDATE tickets SET text = 'Changed without a new version.'")
    again = cli("ingest", "--project", "tickets", "--json")
    assert again.json["documents"]["unchanged"] == 2
    assert rows(engine, "SELECT count(*) FROM rag.documents WHERE content LIKE '%Changed%'") == [(0,)]


def test_projects_globs_and_sensors_support_the_source_type(
    settings: Settings, engine: Engine, tickets: sqlite3.Connection, uri: str, cli: Cli, tmp_path: Path
) -> None:
    assert cli("projects", "add", "desk", uri, "--set", "exclude=*-1.md").code == 0
    assert cli("ingest", "--project", "desk", "--json").json["documents"]["seen"] == 1
    own = ProjectSettings()
    before = listing_fingerprint(uri, own, tmp_path)
    assert listing_fingerprint(uri, own, tmp_path) == before
    tickets.execute("UPDATE tickets SET changed_at = '2026-03-01' WHERE number = 2")
    assert listing_fingerprint(uri, own, tmp_path) != before


def test_invalid_uris_and_broken_packages_are_one_line_errors(
    settings: Settings, tickets: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    error = cli("ingest", f"helpdesk://{tmp_path}/none.sqlite").error(2)
    assert "cannot be opened by the source type helpdesk = helpdesk:Tickets of helpdesk (OperationalError" in error
    assert "carries credentials" in cli("ingest", "helpdesk://me:secret@host/desk").error(2)
    assert "did you mean helpdesk://" in cli("ingest", "helpdsk://x").error(2)
    broken = tmp_path / "broken"
    broken.mkdir()
    install_package(
        broken, monkeypatch, "broken", "import no_such_package", {"broken": "broken:Desk"}, ENTRY_POINT_GROUP
    )
    error = cli("ingest", "broken://x").error(2)
    assert "the source type broken = broken:Desk of broken cannot be loaded (ModuleNotFoundError" in error


def test_an_invalid_listing_ends_the_run_with_a_one_line_error(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    code = """
        class Names:
            def __init__(self, uri, **options): self.uri = uri
            def list(self): yield "a.md"
            def read(self, path): return b""
            def close(self): pass
    """
    install_package(tmp_path, monkeypatch, "names", code, {"names": "names:Names"}, ENTRY_POINT_GROUP)
    result = cli("ingest", "names://x", "--json")
    assert result.code == 2
    assert "names://x lists an object of type str; list() must yield SourceFile objects" in result.err
    assert result.err.count("\n") == 1

"""rag-assets embed with a table that another package registers: embedded, indexed, checked, promoted, updated."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import rag_assets.definitions
from rag_assets.db.spaces.registered_tables import load_table
from rag_assets.orchestration.build import build_definitions
from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli
from tests.support.fakes import ENCODERS, FakeEmbedder
from tests.support.json_shapes import EMBED, assert_shape
from tests.support.notes import create_notes, install_notes
from tests.support.runs import rows

CHECKS = {
    *("notes_texts_have_vectors", "notes_vectors_are_sound", "notes_no_orphan_vectors", "notes_index_valid"),
    *("notes_index_used", "notes_search_latency", "notes_recall_at_10"),
}
TEXTS = ("The keeper feeds the whale.", "High water is at six.", "The lamp needs oil.")


@pytest.fixture
def notes(
    settings: Settings, engine: Engine, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Sequence[str]], None]:
    """An installation with the package `lighthouse`; call it to add notes."""
    install_notes(tmp_path, monkeypatch)
    monkeypatch.setattr(rag_assets.definitions, "defs", build_definitions(resources={"embedder": FakeEmbedder()}))

    def add(texts: Sequence[str]) -> None:
        note = load_table("notes")
        with Session(engine) as session:
            session.add_all(note(title=one[:10], content=one) for one in texts)
            session.commit()

    return add


@pytest.fixture
def filled(notes: Any, engine: Engine) -> Any:
    create_notes(engine)
    notes(TEXTS)
    return notes


def test_rows_are_embedded_once_indexed_checked_and_promoted(filled: Any, engine: Engine, cli: Cli) -> None:
    said = cli("embed", "notes", "--json")
    assert said.code == 0, said.err
    assert_shape(said.json, EMBED)
    assert (said.json["kind"], said.json["days"]) == ("notes", None)
    assert said.json["texts"] == {"distinct": 3, "embedded": 3, "reused": 0, "longer_than_window": 0}
    assert said.json["vectors"] == {"stored": 3, "removed": 0}
    assert {check["name"] for check in said.json["checks"]} == CHECKS
    assert all(check["passed"] for check in said.json["checks"])
    [space] = cli("spaces", "list", "--json").json["spaces"]
    assert (space["kind"], space["status"], space["index_state"], space["texts_left"]) == ("notes", "live", "valid", 0)
    assert sorted(ENCODERS[space["id"]].embedded) == sorted(TEXTS)

    # The same text a second time, in another row, and nothing else new.
    filled(TEXTS[:1])
    again = cli("embed", "notes", "--json").json
    assert again["texts"] == {"distinct": 3, "embedded": 0, "reused": 3, "longer_than_window": 0}
    assert len(ENCODERS[space["id"]].embedded) == 3


def test_a_changed_or_deleted_row_is_pending_and_its_old_vector_is_removed(
    filled: Any, engine: Engine, cli: Cli
) -> None:
    assert cli("embed", "notes").code == 0
    note = load_table("notes")
    with Session(engine) as session:
        changed, deleted = session.scalars(note.__table__.select().with_only_columns(note.id).limit(2))
        session.get_one(note, changed).content = "The tide is late."
        session.delete(session.get_one(note, deleted))
        session.commit()
    assert cli("spaces", "list", "--json").json["spaces"][0]["texts_left"] == 1
    assert [one["missing"] for one in cli("status", "--json").json["degraded"]] == [1]
    said = cli("embed", "notes", "--json").json
    assert (said["texts"]["embedded"], said["vectors"]) == (1, {"stored": 2, "removed": 2})


def test_rows_that_are_soft_deleted_or_empty_have_no_vector(filled: Any, engine: Engine, cli: Cli) -> None:
    filled(["Deleted.", ""])
    with engine.begin() as connection:
        connection.execute(text("UPDATE keeper.notes SET deleted_at = now() WHERE content = 'Deleted.'"))
    assert cli("embed", "notes", "--json").json["vectors"]["stored"] == 3


def test_a_row_deleted_between_runs_is_a_warning_of_the_check(filled: Any, engine: Engine, cli: Cli) -> None:
    assert cli("embed", "notes").code == 0
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM keeper.notes WHERE content = 'The lamp needs oil.'"))
    said = cli("check", "--json")
    [orphans] = [one for one in said.json["checks"] if one["name"] == "notes_no_orphan_vectors"]
    assert (orphans["passed"], orphans["severity"], orphans["metadata"]["orphans"]) == (False, "WARN", 1)


def test_plan_repair_and_maintenance_know_the_table(filled: Any, engine: Engine, cli: Cli) -> None:
    plans = {plan["kind"]: plan for plan in cli("plan", "--json").json["plans"]}
    assert (plans["notes"]["texts"], plans["notes"]["texts_to_embed"]) == (3, 3)
    assert cli("embed", "notes").code == 0
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM rag.embeddings_1"))
    repaired = cli("repair", "--json")
    assert repaired.code == 0, repaired.err
    assert [(one["kind"], one["what"]) for one in repaired.json["damage"]] == [("notes", "texts_without_vector")]
    assert repaired.json["left"] == []
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM keeper.notes WHERE content = 'The lamp needs oil.'"))
    assert cli("maintain", "--json").json["orphans_removed"] == 1


def test_a_table_that_does_not_exist_yet_is_an_error_with_the_command(notes: Any, cli: Cli) -> None:
    assert "keeper.notes does not exist; run rag-assets db create-tables" in cli("embed", "notes").err
    assert [plan["kind"] for plan in cli("plan", "--json").json["plans"]] == ["chunks", "messages", "memories"]


def test_an_unknown_table_is_an_error_with_those_that_there_are(notes: Any, cli: Cli) -> None:
    assert "no 'note' to embed; choose one of messages, memories, notes" in cli("embed", "note").error(2)


def test_without_its_package_a_space_is_left_alone(
    filled: Any, engine: Engine, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("embed", "notes").code == 0
    (tmp_path / "lighthouse-1.0.dist-info" / "entry_points.txt").unlink()
    # The path changes, so that the entry points are read again.
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert cli("maintain", "--json").json["orphans_removed"] == 0
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(3,)]
    status = cli("status", "--json").json
    assert [(space["kind"], space["vectors"], space["texts_left"]) for space in status["spaces"]] == [("notes", 3, 0)]
    assert status["degraded"] == []


def test_create_tables_creates_what_is_missing_and_check_ignores_it(notes: Any, engine: Engine, cli: Cli) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA keeper"))
    assert cli("db", "create-tables").out == "created keeper.notes\n"
    assert cli("db", "create-tables").out == ""
    assert cli("db", "check").code == 0

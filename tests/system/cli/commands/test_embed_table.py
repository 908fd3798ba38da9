"""rag-assets embed with a table of another package: embedding, index, checks, promotion and updates."""

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
from tests.support.fakes import ENCODERS, FakeEmbedder
from tests.support.installation.command_line import Cli
from tests.support.installation.notes import create_notes, install_notes
from tests.support.json_shapes import EMBED, assert_shape
from tests.support.pipeline.runs import rows

CHECKS = {
    *("notes_texts_have_vectors", "notes_vectors_are_sound", "notes_no_orphan_vectors", "notes_index_valid"),
    *("notes_index_used", "notes_search_latency", "notes_recall_at_10"),
}
TEXTS = ("The keeper feeds the whale.", "High water is at six.", "The lamp needs oil.")


@pytest.fixture
def add_notes(
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
def filled_notes(add_notes: Any, engine: Engine) -> Any:
    create_notes(engine)
    add_notes(TEXTS)
    return add_notes


def test_rows_are_embedded_once_indexed_checked_and_promoted(filled_notes: Any, engine: Engine, cli: Cli) -> None:
    result = cli("embed", "notes", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, EMBED)
    assert (result.json["kind"], result.json["days"]) == ("notes", None)
    assert result.json["texts"] == {"distinct": 3, "embedded": 3, "reused": 0, "longer_than_window": 0}
    assert result.json["vectors"] == {"stored": 3, "removed": 0}
    assert {check["name"] for check in result.json["checks"]} == CHECKS
    assert all(check["passed"] for check in result.json["checks"])
    [space] = cli("spaces", "list", "--json").json["spaces"]
    assert (space["kind"], space["status"], space["index_state"], space["texts_left"]) == ("notes", "live", "valid", 0)
    assert sorted(ENCODERS[space["id"]].embedded) == sorted(TEXTS)

    # Only a second row with the same text is new.
    filled_notes(TEXTS[:1])
    again = cli("embed", "notes", "--json").json
    assert again["texts"] == {"distinct": 3, "embedded": 0, "reused": 3, "longer_than_window": 0}
    assert len(ENCODERS[space["id"]].embedded) == 3


def test_a_changed_or_deleted_row_is_pending_and_its_old_vector_is_removed(
    filled_notes: Any, engine: Engine, cli: Cli
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
    result = cli("embed", "notes", "--json").json
    assert (result["texts"]["embedded"], result["vectors"]) == (1, {"stored": 2, "removed": 2})


def test_rows_that_are_soft_deleted_or_empty_have_no_vector(filled_notes: Any, engine: Engine, cli: Cli) -> None:
    filled_notes(["Deleted.", ""])
    with engine.begin() as connection:
        connection.execute(text("UPDATE keeper.notes SET deleted_at = now() WHERE content = 'Deleted.'"))
    assert cli("embed", "notes", "--json").json["vectors"]["stored"] == 3


def test_the_check_warns_about_the_vector_of_a_deleted_row(filled_notes: Any, engine: Engine, cli: Cli) -> None:
    assert cli("embed", "notes").code == 0
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM keeper.notes WHERE content = 'The lamp needs oil.'"))
    result = cli("check", "--json")
    [orphans] = [one for one in result.json["checks"] if one["name"] == "notes_no_orphan_vectors"]
    assert (orphans["passed"], orphans["severity"], orphans["metadata"]["orphans"]) == (False, "WARN", 1)


def test_plan_repair_and_maintenance_include_the_table(filled_notes: Any, engine: Engine, cli: Cli) -> None:
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


def test_the_error_for_a_table_that_does_not_exist_names_the_command(add_notes: Any, cli: Cli) -> None:
    assert "keeper.notes does not exist; run rag-assets db create-tables" in cli("embed", "notes").err
    assert [plan["kind"] for plan in cli("plan", "--json").json["plans"]] == ["chunks", "messages", "memories"]


def test_the_error_for_an_unknown_table_lists_the_known_ones(add_notes: Any, cli: Cli) -> None:
    assert "no 'note' to embed; choose one of messages, memories, notes" in cli("embed", "note").error(2)


def test_the_space_of_an_uninstalled_package_is_not_changed(
    filled_notes: Any, engine: Engine, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_create_tables_creates_missing_tables_and_db_check_ignores_them(
    add_notes: Any, engine: Engine, cli: Cli
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA keeper"))
    assert cli("db", "create-tables").out == "created keeper.notes\n"
    assert cli("db", "create-tables").out == ""
    assert cli("db", "check").code == 0

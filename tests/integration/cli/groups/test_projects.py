"""rag-assets projects: add, list, remove, purge."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.command_line import Cli
from tests.support.json_shapes import PROJECTS, assert_shape
from tests.support.runs import rows
from tests.support.stages import write


def keys() -> set[str]:
    return set(dg.DagsterInstance.get().get_dynamic_partitions("projects"))


def listed(cli: Cli) -> dict[str, dict[str, object]]:
    said = cli("projects", "list", "--json")
    assert said.code == 0, said.err
    assert_shape(said.json, PROJECTS)
    return {project["name"]: project for project in said.json["projects"]}


def test_a_project_is_added_changed_and_listed(settings: Settings, folder: Path, cli: Cli) -> None:
    said = cli("projects", "add", "zoo", folder, "--set", "include=*.md", "--set", "language=german")
    assert (said.code, said.out.split(":")[0]) == (0, "added zoo"), said.err
    assert keys() == {"zoo"}
    assert listed(cli)["zoo"]["settings"] == {"include": ["*.md"], "language": "german"}
    said = cli("projects", "add", "zoo", folder, "--set", "chunk_tokens=64", "--set", "language=")
    assert said.out.startswith("changed zoo")
    found = listed(cli)["zoo"]
    assert found["settings"] == {"include": ["*.md"], "chunk_tokens": 64}
    assert (found["state"], found["refreshed_at"], found["source"]) == ("active", None, str(folder))
    assert "zoo" in cli("projects", "list").out


def test_what_cannot_be_is_one_line_and_changes_nothing(settings: Settings, folder: Path, cli: Cli) -> None:
    for command, said in [
        (("zoo", folder, "--set", "languag=german"), "did you mean 'language'?"),
        (("zoo", folder, "--set", "language=germn"), "did you mean german"),
        (("zoo", folder, "--set", "chunk_tokens=9999"), "the window of"),
        (("zoo", folder, "--set", "questions=/no/such.jsonl"), "/no/such.jsonl"),
        (("Zoo", folder), "'Zoo' cannot be a project's name"),
        (("zoo", "/no/such/folder"), "/no/such/folder"),
    ]:
        assert said in cli("projects", "add", *command).error(2)
    assert listed(cli) == {}
    assert "there is no project 'zoo'" in cli("projects", "remove", "zoo").error(2)


def test_a_declared_project_is_there_and_is_changed_where_it_is_declared(
    settings: Settings, folder: Path, cli: Cli
) -> None:
    file = write(settings.state_dir / "projects.yaml", f"projects:\n  zoo:\n    source: {folder}\n")
    found = listed(cli)["zoo"]
    assert (found["declared_in"], found["state"]) == (str(file), "active")
    assert keys() == {"zoo"}
    for command in (
        ("projects", "add", "zoo", folder),
        ("projects", "remove", "zoo"),
        ("ingest", "--project", "zoo", "--include", "*.md"),
    ):
        assert f"project zoo is declared in {file}; change it there" in cli(*command).error(2)
    file.unlink()
    said = cli("projects", "list", "--json")
    assert said.json["projects"][0]["state"] == "declared no more"
    assert "project zoo is no longer declared; it stays" in said.err
    assert keys() == {"zoo"}
    assert cli("projects", "remove", "zoo").code == 0
    assert listed(cli)["zoo"]["state"] == "removed"
    assert keys() == set()


def test_removed_stays_found_and_purged_is_gone(built: Engine, cli: Cli) -> None:
    before = rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    shared = rows(built, "SELECT content_hash FROM rag.document_chunks GROUP BY 1 HAVING count(*) > 1")
    said = cli("projects", "remove", "zoo")
    assert said.out.startswith("removed zoo: its documents are still found")
    assert keys() == {"sea"}
    assert rows(built, "SELECT count(*) FROM rag.live_chunks WHERE project = 'zoo'")[0][0] > 50
    own = rows(
        built,
        "SELECT count(DISTINCT content_hash) FROM rag.live_chunks l JOIN rag.document_chunks c USING (id) "
        "WHERE l.project = 'zoo'",
    )[0][0]
    said = cli("projects", "remove", "zoo", "--purge")
    assert said.out.startswith("purged zoo: 15 documents, "), said
    assert list(listed(cli)) == ["sea"]
    assert rows(built, "SELECT DISTINCT project FROM rag.live_chunks") == [("sea",)]
    # What the other project has too is still needed.
    after = rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    assert (before - after, len(shared)) == (own - 1, 1)
    said = cli("check", "--json")
    assert {check["name"] for check in said.json["checks"] if not check["passed"]} == set(), said.err


def test_a_removed_project_comes_back_with_ingest(built: Engine, cli: Cli, folder: Path) -> None:
    assert cli("projects", "remove", "zoo").code == 0
    assert cli("projects", "add", "zoo", folder).code == 0
    assert keys() == {"sea", "zoo"}
    assert listed(cli)["zoo"]["state"] == "active"


def test_purging_waits_for_a_run_that_has_the_project_and_says_who(
    built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_assets.db.locks import hold_lock

    monkeypatch.setenv("RAG_ASSETS_LOCK_WAIT_S", "0.1")
    with hold_lock(built, "chunks of zoo", wait_s=1):
        error = cli("projects", "remove", "zoo", "--purge").error(3)
    assert "chunks of zoo has been locked by rag_assets" in error
    assert rows(built, "SELECT count(*) FROM rag.projects") == [(2,)]

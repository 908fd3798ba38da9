"""rag-assets projects: add, list, remove, purge."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import PROJECTS, assert_shape
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write


def partition_keys() -> set[str]:
    return set(dg.DagsterInstance.get().get_dynamic_partitions("projects"))


def list_projects(cli: Cli) -> dict[str, dict[str, object]]:
    result = cli("projects", "list", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, PROJECTS)
    return {project["name"]: project for project in result.json["projects"]}


def test_a_project_is_added_changed_and_listed(settings: Settings, folder: Path, cli: Cli) -> None:
    result = cli("projects", "add", "zoo", folder, "--set", "include=*.md", "--set", "language=german")
    assert (result.code, result.out.split(":")[0]) == (0, "added zoo"), result.err
    assert partition_keys() == {"zoo"}
    assert list_projects(cli)["zoo"]["settings"] == {"include": ["*.md"], "language": "german"}
    result = cli("projects", "add", "zoo", folder, "--set", "chunk_tokens=64", "--set", "language=")
    assert result.out.startswith("changed zoo")
    found = list_projects(cli)["zoo"]
    assert found["settings"] == {"include": ["*.md"], "chunk_tokens": 64}
    assert (found["state"], found["refreshed_at"], found["source"]) == ("active", None, str(folder))
    assert "zoo" in cli("projects", "list").out


def test_invalid_projects_are_one_line_errors_that_change_nothing(settings: Settings, folder: Path, cli: Cli) -> None:
    for command, message in [
        (("zoo", folder, "--set", "languag=german"), "did you mean 'language'?"),
        (("zoo", folder, "--set", "language=germn"), "did you mean german"),
        (("zoo", folder, "--set", "chunk_tokens=9999"), "the window of"),
        (("zoo", folder, "--set", "questions=/no/such.jsonl"), "/no/such.jsonl"),
        (("Zoo", folder), "'Zoo' cannot be a project's name"),
        (("zoo", "/no/such/folder"), "/no/such/folder"),
    ]:
        assert message in cli("projects", "add", *command).error(2)
    assert list_projects(cli) == {}
    assert "there is no project 'zoo'" in cli("projects", "remove", "zoo").error(2)


def test_a_declared_project_exists_and_only_its_file_changes_it(settings: Settings, folder: Path, cli: Cli) -> None:
    file = write(settings.state_dir / "projects.yaml", f"projects:\n  zoo:\n    source: {folder}\n")
    found = list_projects(cli)["zoo"]
    assert (found["declared_in"], found["state"]) == (str(file), "active")
    assert partition_keys() == {"zoo"}
    for command in (
        ("projects", "add", "zoo", folder),
        ("projects", "remove", "zoo"),
        ("ingest", "--project", "zoo", "--include", "*.md"),
    ):
        assert f"project zoo is declared in {file}; change it there" in cli(*command).error(2)
    file.unlink()
    result = cli("projects", "list", "--json")
    assert result.json["projects"][0]["state"] == "declared no more"
    assert "project zoo is no longer declared; it stays" in result.err
    assert partition_keys() == {"zoo"}
    assert cli("projects", "remove", "zoo").code == 0
    assert list_projects(cli)["zoo"]["state"] == "removed"
    assert partition_keys() == set()


def test_a_removed_project_stays_searchable_until_it_is_purged(built: Engine, cli: Cli) -> None:
    before = rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    shared = rows(built, "SELECT content_hash FROM rag.document_chunks GROUP BY 1 HAVING count(*) > 1")
    result = cli("projects", "remove", "zoo")
    assert result.out.startswith("removed zoo: its documents are still found")
    assert partition_keys() == {"sea"}
    assert rows(built, "SELECT count(*) FROM rag.live_chunks WHERE project = 'zoo'")[0][0] > 50
    own = rows(
        built,
        "SELECT count(DISTINCT content_hash) FROM rag.live_chunks l JOIN rag.document_chunks c USING (id) "
        "WHERE l.project = 'zoo'",
    )[0][0]
    result = cli("projects", "remove", "zoo", "--purge")
    assert result.out.startswith("purged zoo: 15 documents, "), result
    assert list(list_projects(cli)) == ["sea"]
    assert rows(built, "SELECT DISTINCT project FROM rag.live_chunks") == [("sea",)]
    # Texts that the other project also has keep their vectors.
    after = rows(built, "SELECT count(*) FROM rag.embeddings")[0][0]
    assert (before - after, len(shared)) == (own - 1, 1)
    result = cli("check", "--json")
    assert {check["name"] for check in result.json["checks"] if not check["passed"]} == set(), result.err


def test_adding_a_removed_project_reactivates_it(built: Engine, cli: Cli, folder: Path) -> None:
    assert cli("projects", "remove", "zoo").code == 0
    assert cli("projects", "add", "zoo", folder).code == 0
    assert partition_keys() == {"sea", "zoo"}
    assert list_projects(cli)["zoo"]["state"] == "active"


def test_purge_waits_for_a_lock_on_the_project_and_names_the_holder(
    built: Engine, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_assets.db.locks import hold_lock

    monkeypatch.setenv("RAG_ASSETS_LOCK_WAIT_S", "0.1")
    with hold_lock(built, "chunks of zoo", wait_s=1):
        error = cli("projects", "remove", "zoo", "--purge").error(3)
    assert "chunks of zoo has been locked by rag_assets" in error
    assert rows(built, "SELECT count(*) FROM rag.projects") == [(2,)]


def test_a_renamed_project_keeps_its_documents_and_partitions_follow(
    settings: Settings, folder: Path, cli: Cli
) -> None:
    assert cli("projects", "add", "zoo", folder).code == 0
    instance, asset = dg.DagsterInstance.get(), dg.AssetKey("raw_documents")
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="zoo", metadata={"documents": 3}))
    assert "exists already" in cli("projects", "rename", "zoo", "zoo").error(2)
    assert "'Zoo 2' cannot be a project's name" in cli("projects", "rename", "zoo", "Zoo 2").error(2)
    assert cli("projects", "rename", "zoo", "park").out == "renamed zoo to park\n"
    assert list_projects(cli).keys() == partition_keys() == {"park"}
    [record] = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=["park"]), limit=5).records
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["documents"].value == 3
    # The first name is free for another project.
    assert cli("projects", "add", "zoo", folder).code == 0
    assert list_projects(cli).keys() == {"park", "zoo"}


def test_a_declared_project_is_renamed_in_its_file_first(settings: Settings, folder: Path, cli: Cli) -> None:
    file = write(settings.state_dir / "projects.yaml", f"projects:\n  zoo:\n    source: {folder}\n")
    assert list_projects(cli).keys() == {"zoo"}
    said = cli("projects", "rename", "zoo", "park").error(2)
    assert f"project zoo is declared in {file}; change its name there" in said
    write(file, f"projects:\n  park:\n    source: {folder}\n")
    assert cli("projects", "rename", "zoo", "park").code == 0
    assert list_projects(cli)["park"]["state"] == "active"
    assert list_projects(cli).keys() == {"park"}

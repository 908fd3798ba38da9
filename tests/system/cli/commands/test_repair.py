"""rag-assets repair restores the tables of a clean run from each kind of damage."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.database.damages import DAMAGES, ONE_CHUNK, pipeline_tables
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import REPAIR, assert_shape
from tests.support.pipeline.check_runs import change_database, failed_names, run_checks
from tests.support.pipeline.runs import add_project
from tests.support.pipeline.stages import write


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_repaired_by_one_run(built: Engine, cli: Cli, name: str) -> None:
    clean = pipeline_tables(built)
    DAMAGES[name].apply(built)
    result = cli("repair", "--json")
    assert (result.code, result.err) == (0, "")
    assert_shape(result.json, REPAIR)
    assert result.json["damage"]
    assert result.json["left"] == []
    assert {"texts_have_vectors", "recall_at_10", "search_quality"} <= {
        check["name"] for check in result.json["checks"]
    }
    assert [check for check in result.json["checks"] if not check["passed"]] == []
    assert pipeline_tables(built) == clean


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE rag.document_chunks SET heading_path = '{{Elsewhere}}' WHERE id = {ONE_CHUNK}",
        f"UPDATE rag.document_chunks SET token_count = 1 WHERE id = {ONE_CHUNK}",
        "UPDATE rag.documents SET content = NULL, content_hash = NULL WHERE file_path = 'page01.md'",
        "DELETE FROM rag.document_chunkings",
        "UPDATE rag.embedding_spaces SET m = 8",
        "DELETE FROM rag.documents",
    ],
)
def test_damage_that_no_check_detects_is_repaired(built: Engine, cli: Cli, statement: str) -> None:
    clean = pipeline_tables(built)
    change_database(built, statement)
    assert cli("repair", "--json").code == 0
    assert pipeline_tables(built) == clean


def test_changes_of_the_source_are_applied(built: Engine, cli: Cli, folder: Path) -> None:
    add_project(built, "live", folder)
    write(folder / "zebra.md", "# Zebras\n\nNew words.\n")
    result = cli("repair", "--json")
    assert result.code == 0, result.err
    assert [(one["what"], one["rows"]) for one in result.json["damage"]] == [("documents_missing", 3)]
    write(folder / "zebra.md", "# Zebras\n\nNewer words.\n", age_s=30)
    (folder / "notes.txt").unlink()
    assert {one["what"]: one["examples"] for one in cli("repair", "--json").json["damage"]} == {
        "documents_changed": ["zebra.md"],
        "documents_gone": ["notes.txt"],
    }
    assert failed_names(run_checks()) == set()


def test_other_damage_is_repaired_when_a_source_is_unreadable(built: Engine, cli: Cli, folder: Path) -> None:
    add_project(built, "live", folder)
    assert cli("repair").code == 0
    for file in folder.iterdir():
        file.unlink()
    clean = pipeline_tables(built)
    DAMAGES["half of the vectors deleted"].apply(built)
    DAMAGES["offsets shifted by one"].apply(built)
    result = cli("repair", "--json")
    assert result.code == 1
    assert "source_unreadable of live is left (3 of the 3 documents" in result.err
    assert [one["what"] for one in result.json["left"]] == ["source_unreadable"]
    assert pipeline_tables(built) == clean

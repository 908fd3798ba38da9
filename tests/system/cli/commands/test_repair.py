"""rag-assets repair, one damage at a time: the tables are as a clean run makes them."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.check_runs import change_database, failed_names, run_checks
from tests.support.command_line import Cli
from tests.support.damages import DAMAGES, ONE_CHUNK, pipeline_tables
from tests.support.json_shapes import REPAIR, assert_shape
from tests.support.runs import add_project
from tests.support.stages import write


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_repaired_by_one_run(built: Engine, cli: Cli, name: str) -> None:
    clean = pipeline_tables(built)
    DAMAGES[name].apply(built)
    said = cli("repair", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, REPAIR)
    assert said.json["damage"]
    assert said.json["left"] == []
    assert {"texts_have_vectors", "recall_at_10", "search_quality"} <= {check["name"] for check in said.json["checks"]}
    assert [check for check in said.json["checks"] if not check["passed"]] == []
    assert pipeline_tables(built) == clean


@pytest.mark.parametrize(
    "change_it",
    [
        f"UPDATE rag.document_chunks SET heading_path = '{{Elsewhere}}' WHERE id = {ONE_CHUNK}",
        f"UPDATE rag.document_chunks SET token_count = 1 WHERE id = {ONE_CHUNK}",
        "UPDATE rag.documents SET content = NULL, content_hash = NULL WHERE file_path = 'page01.md'",
        "DELETE FROM rag.document_chunkings",
        "UPDATE rag.embedding_spaces SET m = 8",
        "DELETE FROM rag.documents",
    ],
)
def test_what_no_check_looks_at_is_compared_too(built: Engine, cli: Cli, change_it: str) -> None:
    clean = pipeline_tables(built)
    change_database(built, change_it)
    assert cli("repair", "--json").code == 0
    assert pipeline_tables(built) == clean


def test_what_the_source_has_now_is_taken_over(built: Engine, cli: Cli, folder: Path) -> None:
    add_project(built, "live", folder)
    write(folder / "zebra.md", "# Zebras\n\nNew words.\n")
    said = cli("repair", "--json")
    assert said.code == 0, said.err
    assert [(one["what"], one["rows"]) for one in said.json["damage"]] == [("documents_missing", 3)]
    write(folder / "zebra.md", "# Zebras\n\nNewer words.\n", age_s=30)
    (folder / "notes.txt").unlink()
    assert {one["what"]: one["examples"] for one in cli("repair", "--json").json["damage"]} == {
        "documents_changed": ["zebra.md"],
        "documents_gone": ["notes.txt"],
    }
    assert failed_names(run_checks()) == set()


def test_a_source_that_is_away_keeps_nothing_else_from_being_repaired(built: Engine, cli: Cli, folder: Path) -> None:
    add_project(built, "live", folder)
    assert cli("repair").code == 0
    for file in folder.iterdir():
        file.unlink()
    clean = pipeline_tables(built)
    DAMAGES["half of the vectors deleted"].apply(built)
    DAMAGES["offsets shifted by one"].apply(built)
    said = cli("repair", "--json")
    assert said.code == 1
    assert "source_unreadable of live is left (3 of the 3 documents" in said.err
    assert [one["what"] for one in said.json["left"]] == ["source_unreadable"]
    assert pipeline_tables(built) == clean

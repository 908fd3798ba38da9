"""rag-assets repair: what was damaged behind the pipeline's back is as a clean run would have made it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rag_assets.db.models.embeddings import EF_SEARCH
from rag_assets.repositories import SyncMemories
from tests.integration.cli.conftest import Cli
from tests.support.check_runs import change, look, red
from tests.support.damages import DAMAGES, ONE_CHUNK, add_half_a_space
from tests.support.json_shapes import CHECK, assert_shape
from tests.support.runs import add_project, rows
from tests.support.stages import write

DAMAGE = {"kind": str, "what": str, "where": str, "rows": int, "examples": [str], "mendable": bool}
REPORT = {"dry_run": bool, "damage": [DAMAGE], "left": [DAMAGE], "checks": [CHECK], "run_ids": [str]}

Tables = dict[str, list[tuple[object, ...]]]


def tables(engine: Engine) -> Tables:
    """All that a clean run writes, without the times and runs at which it was written."""
    unlike = "- 'created_at' - 'updated_at' - 'run_id' - 'promoted_at'"
    return {
        name: rows(engine, f"SELECT to_jsonb(t) {unlike} FROM rag.{name} t ORDER BY {order}")
        for name, order in (
            ("documents", "id"),
            ("document_chunks", "id"),
            ("document_chunkings", "document_id, chunking"),
            ("embeddings", "space_id, content_hash"),
            ("embedding_spaces", "id"),
            ("live_chunks", "id"),
        )
    }


AT_ONCE = (
    "half of the vectors deleted",
    "two vectors swapped",
    "one chunk's text changed",
    "words added to a document",
    "a document's chunks deleted",
    "orphan vectors added",
    "ef_search 10",
    "index dropped",
    "the view dropped",
)


def test_many_damages_at_once_are_repaired_by_one_run(built: Engine, cli: Cli) -> None:
    clean = tables(built)
    for name in AT_ONCE:
        DAMAGES[name].do(built)
    change(built, "DELETE FROM rag.document_chunkings WHERE get_byte(content_hash, 0) % 2 = 0")
    change(built, "UPDATE rag.document_chunks SET heading_path = '{Elsewhere}' WHERE chunk_index = 1")
    change(built, "UPDATE rag.embedding_spaces SET m = 8")
    said = cli("repair", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, REPORT)
    assert {damage["what"] for damage in said.json["damage"]} == {
        *("documents_altered", "chunks_differ", "texts_without_vector", "vectors_altered", "orphan_vectors"),
        *("index", "space_altered", "view_missing"),
    }
    assert said.json["left"] == []
    assert len(said.json["run_ids"]) == 1
    assert [check for check in said.json["checks"] if not check["passed"]] == []
    assert tables(built) == clean


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_repaired_by_one_run(built: Engine, cli: Cli, name: str) -> None:
    clean = tables(built)
    DAMAGES[name].do(built)
    said = cli("repair", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, REPORT)
    assert said.json["damage"]
    assert said.json["left"] == []
    assert {"texts_have_vectors", "recall_at_10", "search_quality"} <= {check["name"] for check in said.json["checks"]}
    assert [check for check in said.json["checks"] if not check["passed"]] == []
    assert tables(built) == clean


@pytest.mark.slow
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
    clean = tables(built)
    change(built, change_it)
    assert cli("repair", "--json").code == 0
    assert tables(built) == clean


def test_a_dry_run_says_what_differs_and_changes_nothing(built: Engine, cli: Cli) -> None:
    for name in ("half of the vectors deleted", "offsets shifted by one", "index dropped", "ef_search 10"):
        DAMAGES[name].do(built)
    before = tables(built)
    said = cli("repair", "--dry-run", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, REPORT)
    found = {damage["what"]: damage for damage in said.json["damage"]}
    assert found.keys() == {"chunks_differ", "texts_without_vector", "index", "space_altered"}
    [(vectors,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    [(texts,)] = rows(built, "SELECT count(DISTINCT content_hash) FROM rag.document_chunks")
    assert found["texts_without_vector"]["rows"] == texts - vectors > 50
    assert (found["chunks_differ"]["rows"], found["chunks_differ"]["examples"]) == (1, ["page03.md"])
    assert found["index"]["examples"] == ["absent"]
    assert found["space_altered"]["examples"] == [f"ef_search: 10, not {EF_SEARCH}"]
    assert tables(built) == before
    shown = cli("repair", "--dry-run")
    assert "texts_without_vector" in shown.out
    assert "would put right" in shown.out


def test_where_nothing_differs_nothing_is_run(built: Engine, cli: Cli) -> None:
    add_half_a_space(built)
    said = cli("repair", "--json")
    assert said.json == {"dry_run": False, "damage": [], "left": [], "checks": [], "run_ids": []}
    assert cli("repair").out == "nothing differs from what it should be\n"


@pytest.mark.slow
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
    assert red(look()) == set()


@pytest.mark.slow
def test_a_source_that_is_away_keeps_nothing_else_from_being_repaired(built: Engine, cli: Cli, folder: Path) -> None:
    add_project(built, "live", folder)
    assert cli("repair").code == 0
    for file in folder.iterdir():
        file.unlink()
    clean = tables(built)
    DAMAGES["half of the vectors deleted"].do(built)
    DAMAGES["offsets shifted by one"].do(built)
    said = cli("repair", "--json")
    assert said.code == 1
    assert "source_unreadable of live is left (3 of the 3 documents" in said.err
    assert [one["what"] for one in said.json["left"]] == ["source_unreadable"]
    assert tables(built) == clean


def test_memories_are_repaired_too(built: Engine, cli: Cli) -> None:
    for number in range(12):
        SyncMemories(built).remember(f"likes tea number {number}")
    assert cli("embed", "memories").code == 0
    clean = tables(built)
    change(
        built,
        "UPDATE rag.embeddings SET embedding = array_fill(0, ARRAY[384])::vector WHERE space_id = 2 "
        "AND get_byte(content_hash, 0) % 2 = 0",
    )
    change(built, "DROP INDEX rag.ix_embeddings_2_hnsw")
    said = cli("repair", "--json")
    assert said.code == 0, said.err
    assert {(one["kind"], one["what"]) for one in said.json["damage"]} == {
        ("memories", "vectors_altered"),
        ("memories", "index"),
    }
    assert len(said.json["run_ids"]) == 1
    assert tables(built) == clean

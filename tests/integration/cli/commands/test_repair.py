"""rag-assets repair: it restores damaged tables to the state that a clean run produces."""

from sqlalchemy import Engine

from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH
from rag_assets.repositories import SyncMemories
from tests.support.database.damages import DAMAGES, add_half_a_space, pipeline_tables
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import REPAIR, assert_shape
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import rows

COMBINED_DAMAGES = (
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


def test_one_run_repairs_many_damages(built: Engine, cli: Cli) -> None:
    clean = pipeline_tables(built)
    for name in COMBINED_DAMAGES:
        DAMAGES[name].apply(built)
    change_database(built, "DELETE FROM rag.document_chunkings WHERE get_byte(content_hash, 0) % 2 = 0")
    change_database(built, "UPDATE rag.document_chunks SET heading_path = '{Elsewhere}' WHERE chunk_index = 1")
    change_database(built, "UPDATE rag.embedding_spaces SET m = 8")
    result = cli("repair", "--json")
    assert (result.code, result.err) == (0, "")
    assert_shape(result.json, REPAIR)
    assert {damage["what"] for damage in result.json["damage"]} == {
        *("documents_altered", "chunks_differ", "texts_without_vector", "vectors_altered", "orphan_vectors"),
        *("index", "space_altered", "view_missing"),
    }
    assert result.json["left"] == []
    assert len(result.json["run_ids"]) == 1
    assert [check for check in result.json["checks"] if not check["passed"]] == []
    assert pipeline_tables(built) == clean


def test_a_dry_run_lists_the_damage_and_changes_nothing(built: Engine, cli: Cli) -> None:
    for name in ("half of the vectors deleted", "offsets shifted by one", "index dropped", "ef_search 10"):
        DAMAGES[name].apply(built)
    before = pipeline_tables(built)
    result = cli("repair", "--dry-run", "--json")
    assert (result.code, result.err) == (0, "")
    assert_shape(result.json, REPAIR)
    found = {damage["what"]: damage for damage in result.json["damage"]}
    assert found.keys() == {"chunks_differ", "texts_without_vector", "index", "space_altered"}
    [(vectors,)] = rows(built, "SELECT count(*) FROM rag.embeddings")
    [(texts,)] = rows(built, "SELECT count(DISTINCT content_hash) FROM rag.document_chunks")
    assert found["texts_without_vector"]["rows"] == texts - vectors > 50
    assert (found["chunks_differ"]["rows"], found["chunks_differ"]["examples"]) == (1, ["page03.md"])
    assert found["index"]["examples"] == ["absent"]
    assert found["space_altered"]["examples"] == [f"ef_search: 10, not {DEFAULT_EF_SEARCH}"]
    assert pipeline_tables(built) == before
    shown = cli("repair", "--dry-run")
    assert "texts_without_vector" in shown.out
    assert "a repair would correct:" in shown.out


def test_no_run_starts_without_damage(built: Engine, cli: Cli) -> None:
    add_half_a_space(built)
    result = cli("repair", "--json")
    assert result.json == {"dry_run": False, "damage": [], "left": [], "checks": [], "run_ids": []}
    assert cli("repair").out == "nothing is wrong\n"


def test_memories_are_repaired(built: Engine, cli: Cli) -> None:
    for number in range(12):
        SyncMemories(built).remember(f"likes tea number {number}")
    assert cli("embed", "memories").code == 0
    clean = pipeline_tables(built)
    change_database(
        built,
        "UPDATE rag.embeddings SET embedding = array_fill(0, ARRAY[384])::vector WHERE space_id = 2 "
        "AND get_byte(content_hash, 0) % 2 = 0",
    )
    change_database(built, "DROP INDEX rag.ix_embeddings_2_hnsw")
    result = cli("repair", "--json")
    assert result.code == 0, result.err
    assert {(one["kind"], one["what"]) for one in result.json["damage"]} == {
        ("memories", "vectors_altered"),
        ("memories", "index"),
    }
    assert len(result.json["run_ids"]) == 1
    assert pipeline_tables(built) == clean

"""rag-assets repair: what was damaged behind the pipeline's back is as a clean run would have made it."""

from sqlalchemy import Engine

from rag_assets.db.models.embeddings import DEFAULT_EF_SEARCH
from rag_assets.repositories import SyncMemories
from tests.support.check_runs import change_database
from tests.support.command_line import Cli
from tests.support.damages import DAMAGES, add_half_a_space, pipeline_tables
from tests.support.json_shapes import REPAIR, assert_shape
from tests.support.runs import rows

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
    clean = pipeline_tables(built)
    for name in AT_ONCE:
        DAMAGES[name].apply(built)
    change_database(built, "DELETE FROM rag.document_chunkings WHERE get_byte(content_hash, 0) % 2 = 0")
    change_database(built, "UPDATE rag.document_chunks SET heading_path = '{Elsewhere}' WHERE chunk_index = 1")
    change_database(built, "UPDATE rag.embedding_spaces SET m = 8")
    said = cli("repair", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, REPAIR)
    assert {damage["what"] for damage in said.json["damage"]} == {
        *("documents_altered", "chunks_differ", "texts_without_vector", "vectors_altered", "orphan_vectors"),
        *("index", "space_altered", "view_missing"),
    }
    assert said.json["left"] == []
    assert len(said.json["run_ids"]) == 1
    assert [check for check in said.json["checks"] if not check["passed"]] == []
    assert pipeline_tables(built) == clean


def test_a_dry_run_says_what_differs_and_changes_nothing(built: Engine, cli: Cli) -> None:
    for name in ("half of the vectors deleted", "offsets shifted by one", "index dropped", "ef_search 10"):
        DAMAGES[name].apply(built)
    before = pipeline_tables(built)
    said = cli("repair", "--dry-run", "--json")
    assert (said.code, said.err) == (0, "")
    assert_shape(said.json, REPAIR)
    found = {damage["what"]: damage for damage in said.json["damage"]}
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


def test_where_nothing_differs_nothing_is_run(built: Engine, cli: Cli) -> None:
    add_half_a_space(built)
    said = cli("repair", "--json")
    assert said.json == {"dry_run": False, "damage": [], "left": [], "checks": [], "run_ids": []}
    assert cli("repair").out == "nothing is wrong\n"


def test_memories_are_repaired_too(built: Engine, cli: Cli) -> None:
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
    said = cli("repair", "--json")
    assert said.code == 0, said.err
    assert {(one["kind"], one["what"]) for one in said.json["damage"]} == {
        ("memories", "vectors_altered"),
        ("memories", "index"),
    }
    assert len(said.json["run_ids"]) == 1
    assert pipeline_tables(built) == clean

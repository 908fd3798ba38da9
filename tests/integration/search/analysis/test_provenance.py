"""The provenance of a hit, and the run that wrote it."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from rag_assets.documents.text import content_hash
from rag_assets.errors import UsageError
from rag_assets.search.analysis.provenance import Provenance, explain_chunk
from tests.support.pipeline.check_runs import change_database
from tests.support.pipeline.runs import add_project, rows, run
from tests.support.pipeline.stages import write

CHUNK = "SELECT c.id FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id WHERE d.file_path = :path"
ONLY = ("raw_documents", "chunks")


def explained(engine: Engine, path: str) -> Provenance:
    [id_, *_] = [id_ for (id_,) in rows(engine, CHUNK, path=path)]
    with engine.connect() as connection:
        return explain_chunk(connection, id_)


def test_a_hit_is_traced_to_its_source_its_text_its_model_and_its_run(built: Engine) -> None:
    found = explained(built, "page05.md")
    [(content, source, version, run_id)] = rows(
        built,
        "SELECT d.content, p.source_uri, d.source_version, d.run_id FROM rag.documents d "
        "JOIN rag.projects p ON p.id = d.project_id WHERE d.id = :id",
        id=found.document_id,
    )
    assert content[found.char_start : found.char_end] == found.text
    assert found.content_hash == content_hash(found.text).hex()
    assert (found.source_uri, found.source_version) == (source, version)
    assert (found.project, found.file_path) in {("sea", "page05.md"), ("zoo", "page05.md")}
    assert UUID(found.document_run_id)
    assert found.document_run_id == found.chunks_run_id == run_id
    assert found.served
    assert found.current
    assert found.space is not None
    assert (found.space.status, found.space.dimensions) == ("live", 384)
    assert found.space.model == "sentence-transformers/all-MiniLM-L6-v2"
    assert found.space.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert found.space.chunking_settings["max_tokens"] == 254


@pytest.mark.usefixtures("settings")
def test_each_document_names_the_run_that_wrote_its_text_last(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("kept.txt", "changed.txt"):
        write(folder / name, f"This is {name}.\n", age_s=120)
    add_project(engine, "p", folder)
    first = run(key="p", only=ONLY)
    write(folder / "changed.txt", "This is another text.\n", age_s=60)
    second = run(key="p", only=ONLY)
    third = run(key="p", only=ONLY)
    assert all(result.success for result in (first, second, third))
    for name, by in (("kept.txt", first), ("changed.txt", second)):
        found = explained(engine, name)
        assert (found.document_run_id, found.chunks_run_id) == (by.run_id, by.run_id)


def test_a_chunk_of_an_older_text_is_not_current(built: Engine) -> None:
    change_database(
        built,
        "UPDATE rag.documents SET content = :text, content_hash = :hash WHERE file_path = 'page05.md'",
        text="new",
        hash=content_hash("new"),
    )
    found = explained(built, "page05.md")
    assert (found.served, found.current) == (True, False)


def test_a_chunk_of_a_chunking_that_is_not_live_is_explained_as_not_served(built: Engine) -> None:
    change_database(built, "UPDATE rag.embedding_spaces SET status = 'retired'")
    found = explained(built, "page05.md")
    assert found.space is not None
    assert (found.space.status, found.space.has_vector, found.served) == ("retired", True, False)
    change_database(built, "UPDATE rag.embedding_spaces SET chunking = 'another', status = 'live'")
    found = explained(built, "page05.md")
    assert (found.space, found.served) == (None, False)
    assert found.chunks_run_id


def test_a_chunk_without_its_vector_is_not_served(built: Engine) -> None:
    change_database(built, "DELETE FROM rag.embeddings")
    found = explained(built, "copy.txt")
    assert found.space is not None
    assert (found.space.has_vector, found.served) == (False, False)


def test_an_id_that_no_chunk_has_is_refused(built: Engine) -> None:
    with built.connect() as connection, pytest.raises(UsageError, match=r"there is no chunk .*; search again"):
        explain_chunk(connection, uuid4())

"""The writers: counts, stable ids, and concurrent changes."""

import threading
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError

from rag_assets.db.models import Document
from rag_assets.db.models.projects import derive_project_id
from rag_assets.db.spaces.pending import pending_documents
from rag_assets.db.writes import upserts
from rag_assets.db.writes.rows import DocumentFailureRow, EmbeddingFailureRow, EmbeddingRow, SourceVersionRow
from rag_assets.db.writes.upserts import (
    delete_documents,
    write_chunks,
    write_document_failures,
    write_documents,
    write_embeddings,
    write_source_versions,
)
from rag_assets.documents.text import content_hash
from rag_assets.projects.store import save_project
from tests.support.database.rows import add_document, create_space, document, split_document, unit_vectors
from tests.support.pipeline.runs import rows

CHUNKS = "SELECT chunk_index, chunk_text, char_start, char_end, heading_path FROM rag.document_chunks ORDER BY 1"


@pytest.fixture(autouse=True)
def _project(engine: Engine) -> None:
    with engine.begin() as connection:
        save_project(connection, "p", "/docs", {})


def test_documents_come_back_as_they_were_written(engine: Engine) -> None:
    odd = document(
        "ü/海豚.md",
        'Ünï\n\t\\N "x" 🦓 \'; --',
        title=None,
        size_bytes=3_000_000_000,
        metadata={"ключ": [1, None, {"a": "\\u2028"}], "n": 1.5},
    )
    with engine.begin() as connection:
        written = write_documents(connection, [odd, document("b.md", "")])
    assert (written.inserted, written.updated, written.size_bytes) == (2, 0, 3_000_000_000)
    [stored] = rows(
        engine,
        "SELECT id, file_path, title, content, content_hash, file_type, size_bytes, hash, source_version, reader, "
        "metadata, status, error FROM rag.documents WHERE id = :id",
        id=odd.id,
    )
    assert stored == (
        odd.id,
        odd.file_path,
        None,
        odd.content,
        odd.content_hash,
        odd.file_type,
        odd.size_bytes,
        odd.hash,
        odd.source_version,
        odd.reader,
        odd.metadata,
        "ok",
        None,
    )


def test_pages_that_begin_elsewhere_in_the_same_text_make_its_chunks_pending(engine: Engine) -> None:
    pending = pending_documents(derive_project_id("p"), "c1").with_only_columns(Document.file_path)
    report: dict[str, object] = {"page_starts": [0, 4], "notes": ["a"]}
    first = [document("a.md"), document("b.md", parse_report=report), document("c.md", parse_report=report)]
    with engine.begin() as connection:
        write_documents(connection, first)
        write_chunks(connection, "c1", [split_document(row, ["one ", "two"]) for row in first])
    moved = {"page_starts": [0, 3], "notes": ["a"]}
    again = [
        document("a.md"),
        document("b.md", parse_report=report | {"notes": ["b"]}),
        document("c.md", parse_report=moved),
    ]
    with engine.begin() as connection:
        assert connection.scalars(pending).all() == []
        write_documents(connection, again)
        assert connection.scalars(pending).all() == ["c.md"]
        assert connection.scalar(select(Document.parse_report).where(Document.file_path == "c.md")) == moved


def test_a_document_written_again_is_updated_and_no_longer_failed(engine: Engine) -> None:
    row = document()
    failure = DocumentFailureRow(row.id, row.project_id, row.file_path, "markdown", "is broken", "text-1", hash="h")
    with engine.begin() as connection:
        write_documents(connection, [row])
    with engine.begin() as connection:
        assert write_document_failures(connection, [failure]).failed == 1
    state = "SELECT content, status, error, hash FROM rag.documents"
    # The old content stays, with the reason.
    assert rows(engine, state) == [("one two", "failed", "is broken", "h")]
    with engine.begin() as connection:
        written = write_documents(connection, [document(content="three")])
    assert (written.inserted, written.updated) == (0, 1)
    assert rows(engine, state)[0][:3] == ("three", "ok", None)


def test_a_document_that_was_never_read_has_a_row_with_the_reason(engine: Engine) -> None:
    row = document()
    with engine.begin() as connection:
        write_document_failures(
            connection,
            [DocumentFailureRow(row.id, row.project_id, "a.md", "pdf", "is encrypted", "pdf-1", size_bytes=9)],
        )
    assert rows(engine, "SELECT content, status, error, size_bytes FROM rag.documents") == [
        (None, "failed", "is encrypted", 9)
    ]


def test_a_new_source_version_changes_nothing_else(engine: Engine) -> None:
    row = document()
    with engine.begin() as connection:
        write_documents(connection, [row])
        before = connection.execute(text("SELECT updated_at FROM rag.documents")).all()
    with engine.begin() as connection:
        write_source_versions(connection, [SourceVersionRow(row.id, "v2")])
        assert connection.execute(text("SELECT source_version FROM rag.documents")).scalar_one() == "v2"
        assert connection.execute(text("SELECT content FROM rag.documents")).scalar_one() == row.content
    assert before


def test_deleting_documents_deletes_their_chunks(engine: Engine) -> None:
    row = document()
    with engine.begin() as connection:
        add_document(connection, row)
        write_chunks(connection, "c1", [split_document(row, ["one ", "two"])])
    with engine.begin() as connection:
        assert delete_documents(connection, [row.id, uuid4()]).deleted == 1
    assert rows(engine, "SELECT id FROM rag.document_chunks") == []
    assert rows(engine, "SELECT document_id FROM rag.document_chunkings") == []


def test_writing_no_rows_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        written = write_documents(connection, [])
        written += write_document_failures(connection, [])
        written += delete_documents(connection, [])
        written += write_chunks(connection, "c1", [])
        write_source_versions(connection, [])
    assert (written.inserted, written.updated, written.deleted, written.failed) == (0, 0, 0, 0)


def test_chunks_are_counted_as_inserted_updated_deleted_and_unchanged(engine: Engine) -> None:
    row = document(content="one two three four")
    with engine.begin() as connection:
        add_document(connection, row)
        written = write_chunks(connection, "c1", [split_document(row, ["one ", "two ", "three ", "four"])])
    assert (written.inserted, written.updated, written.deleted, written.unchanged) == (4, 0, 0, 0)
    assert written.size_bytes == len("one two three four")
    with engine.begin() as connection:
        written = write_chunks(connection, "c1", [split_document(row, ["one ", "two ", "three ", "four"])])
    assert (written.inserted, written.updated, written.deleted, written.unchanged) == (0, 0, 0, 4)
    with engine.begin() as connection:
        # `two` is deleted, `three` and `four` move, `five` is new.
        written = write_chunks(connection, "c1", [split_document(row, ["one ", "three ", "four", "five"])])
    assert (written.inserted, written.updated, written.deleted, written.unchanged) == (1, 2, 1, 1)
    assert rows(engine, CHUNKS) == [
        (0, "one ", 0, 4, ["A", "B"]),
        (1, "three ", 4, 10, ["A", "B"]),
        (2, "four", 10, 14, ["A", "B"]),
        (3, "five", 14, 18, ["A", "B"]),
    ]
    assert rows(engine, "SELECT chunk_count FROM rag.document_chunkings") == [(4,)]


def test_a_chunk_keeps_its_id_when_text_is_inserted_before_it(engine: Engine) -> None:
    row = document(content="one two one")
    ids = "SELECT chunk_text, id FROM rag.document_chunks ORDER BY chunk_index"
    with engine.begin() as connection:
        add_document(connection, row)
        write_chunks(connection, "c1", [split_document(row, ["one ", "two ", "one "])])
    before = rows(engine, ids)
    with engine.begin() as connection:
        write_chunks(connection, "c1", [split_document(row, ["new ", "one ", "two ", "one "])])
    assert rows(engine, ids)[1:] == before
    # Equal texts in one document are two chunks with two ids.
    assert len({id_ for _, id_ in before}) == 3


def test_chunks_in_reverse_order_keep_their_ids_and_swap_their_places(engine: Engine) -> None:
    row = document()
    with engine.begin() as connection:
        add_document(connection, row)
        write_chunks(connection, "c1", [split_document(row, ["aa ", "bb ", "cc "])])
    with engine.begin() as connection:
        written = write_chunks(connection, "c1", [split_document(row, ["cc ", "bb ", "aa "])])
    assert (written.updated, written.unchanged, written.inserted) == (2, 1, 0)


def test_a_document_can_have_two_chunkings(engine: Engine) -> None:
    row = document()
    with engine.begin() as connection:
        add_document(connection, row)
        write_chunks(connection, "c1", [split_document(row, ["one ", "two"])])
        write_chunks_ = split_document(row, ["one two"], chunking="c2")
    with engine.begin() as connection:
        write_chunks(connection, "c2", [write_chunks_])
    assert rows(engine, "SELECT chunking, count(*) FROM rag.document_chunks GROUP BY 1 ORDER BY 1") == [
        ("c1", 2),
        ("c2", 1),
    ]


def test_chunks_of_a_deleted_document_are_not_written(engine: Engine) -> None:
    row, other = document(), document("b.md", "three")
    with engine.begin() as connection:
        add_document(connection, other)
    with engine.begin() as connection:
        write_chunks(connection, "c1", [split_document(row, ["one ", "two"]), split_document(other, ["three"])])
    assert rows(engine, "SELECT chunk_text FROM rag.document_chunks") == [("three",)]


def test_writing_chunks_waits_for_a_running_deletion_of_the_document(engine: Engine) -> None:
    row, other = document(), document("b.md", "three")
    with engine.begin() as connection:
        write_documents(connection, [row, other])
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with engine.begin() as connection:
                write_chunks(connection, "c1", [split_document(row, ["one ", "two"]), split_document(other, ["three"])])
        except BaseException as error:
            failed.append(error)

    with engine.begin() as deleter:
        delete_documents(deleter, [row.id])
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(timeout=0.5)
        assert writer.is_alive()
    writer.join(timeout=20)
    assert failed == []
    assert rows(engine, "SELECT chunk_text FROM rag.document_chunks") == [("three",)]


@pytest.mark.parametrize("most_sent", [0, 256], ids=["copied", "sent"])
def test_vectors_are_stored_once_and_exactly(engine: Engine, monkeypatch: pytest.MonkeyPatch, most_sent: int) -> None:
    monkeypatch.setattr(upserts, "MOST_SENT_VECTORS", most_sent)
    space = create_space(engine)
    vectors = unit_vectors(3, 8)
    batch = [EmbeddingRow(content_hash(f"t{i}"), vector) for i, vector in enumerate(vectors)]
    with engine.begin() as connection:
        written = write_embeddings(connection, space.id, batch)
    assert (written.inserted, written.size_bytes) == (3, 3 * 8 * 4)
    with engine.begin() as connection:
        assert write_embeddings(connection, space.id, batch).inserted == 0
    stored = rows(engine, "SELECT content_hash, embedding::text FROM rag.embeddings")
    for hash_, vector in stored:
        expected = next(row.embedding for row in batch if row.content_hash == hash_)
        assert (np.array([float(part) for part in vector.strip("[]").split(",")], dtype=np.float32) == expected).all()


def test_a_failure_is_recorded_until_the_text_has_a_vector(engine: Engine) -> None:
    space = create_space(engine)
    hash_ = content_hash("odd")
    reasons = "SELECT content_hash, error FROM rag.embedding_failures"
    for reason in ("first", "second"):
        with engine.begin() as connection:
            assert write_embeddings(connection, space.id, [], [EmbeddingFailureRow(hash_, reason)]).failed == 1
        assert rows(engine, reasons) == [(hash_, reason)]
    with engine.begin() as connection:
        write_embeddings(connection, space.id, [EmbeddingRow(hash_, unit_vectors(1, 8)[0])])
    assert rows(engine, reasons) == []


def test_two_writers_of_the_same_texts_do_not_conflict(engine: Engine) -> None:
    space = create_space(engine)
    batch = [EmbeddingRow(content_hash(f"t{i}"), vector) for i, vector in enumerate(unit_vectors(50, 8))]
    inserted: list[int] = []

    def write() -> None:
        with engine.begin() as connection:
            inserted.append(write_embeddings(connection, space.id, batch).inserted)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=20)
    assert sum(inserted) == 50
    assert len(inserted) == 3


def test_a_failed_write_leaves_nothing(engine: Engine) -> None:
    rest = document("b.md", project_id=derive_project_id("unknown"))
    with pytest.raises(IntegrityError, match="foreign key"), engine.begin() as connection:
        write_documents(connection, [document(), rest])
    assert rows(engine, "SELECT id FROM rag.documents") == []

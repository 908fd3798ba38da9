"""Pruning deletes what nothing refers to any more, and nothing else."""

from sqlalchemy import Engine, text

from rag_assets.db.spaces.retention import retire_space
from rag_assets.db.spaces.spaces import set_live_space
from rag_assets.db.writes import prune as pruning
from rag_assets.db.writes.prune import prune_space
from rag_assets.db.writes.rows import EmbeddingFailureRow, EmbeddingRow
from rag_assets.db.writes.upserts import delete_documents, write_chunks, write_embeddings
from rag_assets.documents.text import content_hash
from tests.support.database.rows import (
    add_document,
    add_vectors,
    create_space,
    definition,
    document,
    split_document,
    unit_vectors,
)
from tests.support.pipeline.runs import rows


def test_a_space_without_orphans_loses_nothing(engine: Engine) -> None:
    space = create_space(engine)
    add_vectors(engine, space, 20)
    assert prune_space(engine, space) == 0
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(20,)]


def test_a_vector_is_deleted_with_the_last_chunk_of_its_text(engine: Engine) -> None:
    space = create_space(engine)
    first, second = document("a.md", "shared own"), document("b.md", "shared")
    with engine.begin() as connection:
        add_document(connection, first)
        write_chunks(connection, "c1", [split_document(first, ["shared", "own"])])
    with engine.begin() as connection:
        add_document(connection, second)
        write_chunks(connection, "c1", [split_document(second, ["shared"])])
        vectors = unit_vectors(2, 8)
        write_embeddings(
            connection,
            space.id,
            [EmbeddingRow(content_hash(t), v) for t, v in zip(["shared", "own"], vectors, strict=True)],
        )
    with engine.begin() as connection:
        delete_documents(connection, [first.id])
    assert prune_space(engine, space) == 1
    assert rows(engine, "SELECT content_hash FROM rag.embeddings") == [(content_hash("shared"),)]
    with engine.begin() as connection:
        delete_documents(connection, [second.id])
    assert prune_space(engine, space) == 1
    assert prune_space(engine, space) == 0


def test_failures_of_deleted_texts_are_deleted(engine: Engine) -> None:
    space = create_space(engine)
    add_vectors(engine, space, 1)
    with engine.begin() as connection:
        faults = [
            EmbeddingFailureRow(content_hash("text 0 0 "), "kept"),
            EmbeddingFailureRow(content_hash("gone"), "gone"),
        ]
        write_embeddings(connection, space.id, [], faults)
    prune_space(engine, space)
    assert rows(engine, "SELECT error FROM rag.embedding_failures") == [("kept",)]


def test_chunks_are_kept_while_a_space_of_their_chunking_is_in_use(engine: Engine) -> None:
    old, new = create_space(engine), create_space(engine, definition("f2", chunking="c2"))
    row = document()
    for chunking in ("c1", "c2"):
        with engine.begin() as connection:
            add_document(connection, row)
            write_chunks(connection, chunking, [split_document(row, ["one ", "two"], chunking=chunking)])
    stored = "SELECT DISTINCT chunking FROM rag.document_chunks ORDER BY 1"
    with engine.begin() as connection:
        set_live_space(connection, old)
    prune_space(engine, old)
    assert rows(engine, stored) == [("c1",), ("c2",)]
    with engine.begin() as connection:
        set_live_space(connection, new)
    prune_space(engine, new)
    # The old space is kept for a rollback.
    assert rows(engine, stored) == [("c1",), ("c2",)]
    with engine.begin() as connection:
        retire_space(connection, old.id)
    prune_space(engine, new)
    assert rows(engine, stored) == [("c2",)]
    assert rows(engine, "SELECT chunking FROM rag.document_chunkings") == [("c2",)]


def test_the_newest_query_vectors_are_kept(engine: Engine) -> None:
    space = create_space(engine)
    kept = pruning.KEPT_QUERIES
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO rag.query_vectors (space_id, query_hash, embedding, created_at) "
                "SELECT :space, decode(lpad(to_hex(n), 8, '0'), 'hex'), '[1]', now() - n * interval '1 minute' "
                "FROM generate_series(1, :kept + 7) n"
            ),
            {"space": space.id, "kept": kept},
        )
    prune_space(engine, space)
    assert rows(engine, "SELECT count(*), max(query_hash) FROM rag.query_vectors") == [(kept, kept.to_bytes(4))]

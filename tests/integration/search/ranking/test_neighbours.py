"""The context of a hit is exactly the text of its document."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event

from rag_assets.db.models.chunks import derive_chunk_id
from rag_assets.db.writes.rows import ChunkedDocument, ChunkRow, DocumentRow
from rag_assets.db.writes.upserts import write_chunks, write_documents
from rag_assets.documents.text import content_hash
from rag_assets.errors import UsageError
from rag_assets.search.ranking.neighbours import ChunkContext, fetch_contexts
from tests.support.database.rows import add_document, document
from tests.support.pipeline.runs import rows

CONTENT = "🦓 one.\n\n  señal two\r three 海豚 four; fünf.\n\n\nsix 🦓🦓 end"


def split(row: DocumentRow, spans: Sequence[tuple[int, int]], chunking: str = "c1") -> ChunkedDocument:
    """The document with chunks at these offsets, which may overlap or leave gaps."""
    chunks = []
    for index, (start, end) in enumerate(spans):
        text = row.content[start:end]
        id_ = derive_chunk_id(row.id, chunking, content_hash(text), index)
        chunks.append(ChunkRow(id_, row.id, chunking, index, text, content_hash(text), start, end, 3, []))
    return ChunkedDocument(row.id, row.content_hash, chunks)


def store(engine: Engine, *documents: tuple[DocumentRow, ChunkedDocument], chunking: str = "c1") -> None:
    for row, chunks in documents:
        with engine.begin() as connection:
            add_document(connection, row)
            write_chunks(connection, chunking, [chunks])


def contexts(engine: Engine, ids: Sequence[UUID], neighbours: int) -> dict[UUID, ChunkContext]:
    with engine.connect() as connection:
        return fetch_contexts(connection, ids, neighbours)


@pytest.mark.parametrize(
    "spans",
    [[(0, 7), (9, 20), (20, 33), (36, 50)], [(0, 14), (9, 25), (20, 40), (38, 50)], [(1, 4), (3, 50), (30, 40)]],
    ids=["gaps", "overlaps", "one inside another"],
)
@pytest.mark.parametrize("neighbours", [0, 1, 2, 100])
def test_the_text_spans_the_first_to_the_last_neighbour(
    engine: Engine, spans: list[tuple[int, int]], neighbours: int
) -> None:
    row = document(content=CONTENT)
    other = document("b.md", content="x" + CONTENT)
    chunked = split(row, spans)
    store(engine, (row, chunked), (other, split(other, [(0, 3), (5, 20)])))
    found = contexts(engine, [chunk.id for chunk in chunked.chunks], neighbours)
    for index, chunk in enumerate(chunked.chunks):
        near = spans[max(0, index - neighbours) : index + neighbours + 1]
        start, end = min(start for start, _ in near), max(end for _, end in near)
        assert found[chunk.id] == ChunkContext(start, end, CONTENT[start:end], len(near))


def test_chunks_of_another_chunking_are_no_neighbours(engine: Engine) -> None:
    row = document(content=CONTENT)
    old, new = split(row, [(0, 7), (9, 20), (20, 33)]), split(row, [(0, 3), (3, 5), (5, 50)], "c2")
    store(engine, (row, old))
    store(engine, (row, new), chunking="c2")
    found = contexts(engine, [old.chunks[2].id, new.chunks[0].id], 1)
    assert found[old.chunks[2].id] == ChunkContext(9, 33, CONTENT[9:33], 2)
    assert found[new.chunks[0].id] == ChunkContext(0, 5, CONTENT[0:5], 2)


def test_a_chunk_of_an_earlier_text_has_no_neighbours_until_the_document_is_split_again(engine: Engine) -> None:
    row = document(content=CONTENT)
    chunked = split(row, [(0, 7), (9, 20), (20, 33)])
    store(engine, (row, chunked))
    with engine.begin() as connection:
        write_documents(connection, [document(content="Quite another text, and a longer one than it was before.")])
    hit = chunked.chunks[1]
    assert contexts(engine, [hit.id], 1) == {hit.id: ChunkContext(9, 20, CONTENT[9:20], 1)}


def test_one_statement_serves_all_hits_and_unknown_ids_are_left_out(built: Engine) -> None:
    ids = [id_ for (id_,) in rows(built, "SELECT id FROM rag.document_chunks")]
    contents = dict(
        rows(
            built,
            "SELECT c.id, d.content FROM rag.document_chunks c JOIN rag.documents d ON d.id = c.document_id",
        )
    )
    statements = []
    event.listen(built, "before_cursor_execute", lambda *given: statements.append(given[2]))
    found = contexts(built, [*ids, ids[0], uuid4()], 1)
    assert len(statements) == 1
    assert found.keys() == set(ids)
    for id_, context in found.items():
        assert contents[id_][context.char_start : context.char_end] == context.text
    assert max(context.chunks for context in found.values()) == 3
    assert contexts(built, [], 1) == {}


@pytest.mark.parametrize("neighbours", [-1, 101])
def test_an_invalid_number_of_neighbours_is_refused(engine: Engine, neighbours: int) -> None:
    with pytest.raises(UsageError, match=f"context is {neighbours}; choose 0 to 100"):
        contexts(engine, [uuid4()], neighbours)

"""The only writers of documents, chunks and vectors: set-based statements in the caller's transaction.

What searches show is not changed here: its next version is staged, and published when it is complete.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Connection,
    Table,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, Insert, insert

from rag_assets.db.models import (
    SCHEMA,
    Base,
    Document,
    DocumentChunk,
    DocumentChunking,
    EmbeddingCost,
    EmbeddingFailure,
    StagedDocument,
)
from rag_assets.db.schema.text_search import DEFAULT_LANGUAGE
from rag_assets.db.spaces.checksums import checksum
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import PackedVector, PackedVectors, register_packed_vectors, select_sent_vectors
from rag_assets.db.writes.copy import copy_rows
from rag_assets.db.writes.invalidate import id_in
from rag_assets.db.writes.publishing import publish_documents, publish_documents_of_texts
from rag_assets.db.writes.rows import (
    ChunkedDocument,
    ChunkRow,
    DocumentFailureRow,
    DocumentRow,
    EmbeddingCostRow,
    EmbeddingFailureRow,
    EmbeddingRow,
    ReadersRow,
    SourceVersionRow,
    WriteCounts,
)
from rag_assets.db.writes.staging import (
    discard_superseded,
    lock_documents,
    route_chunks,
    route_documents,
    stage_chunks,
    stage_documents,
)

_DOCUMENTS = Base.metadata.tables[f"{SCHEMA}.documents"].c
_CHUNKS = Base.metadata.tables[f"{SCHEMA}.document_chunks"].c
_CHUNKINGS = Base.metadata.tables[f"{SCHEMA}.document_chunkings"].c
# xmax is 0 in a row that this statement inserted, and not 0 in one that it updated.
_INSERTED: ColumnElement[bool] = literal_column("xmax = 0", Boolean())


def write_documents(connection: Connection, rows: Sequence[DocumentRow], run_id: str | None = None) -> WriteCounts:
    """Insert or replace documents that were read, and clear their earlier failures.

    Documents that searches show are staged instead, until their new chunks have vectors; one that lost its text is
    shown no longer.
    """
    if not rows:
        return WriteCounts()
    columns = [_DOCUMENTS[name] for name in DocumentRow.__slots__]
    incoming = copy_rows(connection, "incoming_documents", columns, map(_values, rows))
    routes = route_documents(connection, incoming)
    discard_superseded(connection, incoming, routes)
    counts = stage_documents(connection, incoming, routes.staged, run_id)
    if routes.staged:
        # Who may read a document is not part of its version, and does not wait with it.
        _replace_readers(connection, incoming)
    _invalidate_moved_pages(connection, incoming, routes.direct)
    names = [*(c.name for c in columns), "run_id"]
    direct = select(incoming, literal(run_id, Text)).where(id_in(incoming.c.id, routes.direct))
    statement = insert(Document).from_select(names, direct)
    replaced = {name: statement.excluded[name] for name in names if name != "id"}
    counts += _upsert(
        connection,
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_=replaced | {"status": "ok", "error": None, "updated_at": func.now()},
        ),
    )
    counts.size_bytes = sum(row.size_bytes for row in rows)
    return counts


def _invalidate_moved_pages(connection: Connection, incoming: Table, ids: Sequence[UUID]) -> None:
    """Documents whose text may be the same but whose pages begin elsewhere are split again: chunks have a page."""
    stamp = DocumentChunking
    moved = Document.parse_report["page_starts"].is_distinct_from(incoming.c.parse_report["page_starts"])
    connection.execute(
        update(stamp)
        .where(stamp.document_id == Document.id, Document.id == incoming.c.id, moved, id_in(Document.id, ids))
        .values(content_hash=b"")
    )


def write_readers(connection: Connection, rows: Sequence[ReadersRow]) -> None:
    """Store who may read these documents, in force with the commit, whatever waits of their next versions."""
    if not rows:
        return
    columns = [_DOCUMENTS[name] for name in ReadersRow.__slots__]
    incoming = copy_rows(connection, "incoming_readers", columns, map(_values, rows))
    _replace_readers(connection, incoming)


def _replace_readers(connection: Connection, incoming: Table) -> None:
    names = ("readers", "readers_error")
    changed = or_(*(_DOCUMENTS[name].is_distinct_from(incoming.c[name]) for name in names))
    connection.execute(
        update(Document)
        .where(Document.id == incoming.c.id, changed)
        .values({name: incoming.c[name] for name in names} | {"updated_at": func.now()})
    )


def write_source_versions(connection: Connection, rows: Sequence[SourceVersionRow]) -> None:
    """Store the new source versions of documents whose bytes did not change."""
    if not rows:
        return
    columns = [_DOCUMENTS[name] for name in SourceVersionRow.__slots__]
    incoming = copy_rows(connection, "incoming_touches", columns, map(_values, rows))
    # The file is the same as that of the next version, where there is one.
    is_staged = exists().where(StagedDocument.id == incoming.c.id)
    for version, chosen in ((Document, ~is_staged), (StagedDocument, true())):
        connection.execute(
            update(version).where(version.id == incoming.c.id, chosen).values(source_version=incoming.c.source_version)
        )


def write_document_failures(connection: Connection, rows: Sequence[DocumentFailureRow]) -> WriteCounts:
    """Record why documents could not be read; their content from before stays, and so does a next version."""
    if not rows:
        return WriteCounts()
    columns = [_DOCUMENTS[name] for name in DocumentFailureRow.__slots__]
    incoming = copy_rows(connection, "incoming_failures", columns, map(_values, rows))
    read = ("size_bytes", "hash", "source_version", "reader")
    connection.execute(
        update(StagedDocument)
        .where(StagedDocument.id == incoming.c.id)
        .values({name: incoming.c[name] for name in read})
    )
    statement = insert(Document).from_select(
        [*(c.name for c in columns), "status"], select(incoming, literal_column("'failed'"))
    )
    kept = ("id", "project_id", "file_path", "file_type")
    replaced = {c.name: statement.excluded[c.name] for c in columns if c.name not in kept}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_=replaced | {"status": "failed", "updated_at": func.now()}
        )
    )
    return WriteCounts(failed=len(rows))


def delete_documents(connection: Connection, ids: Sequence[UUID]) -> WriteCounts:
    """Delete documents with their chunks; a vector is deleted later, once nothing refers to it."""
    if not ids:
        return WriteCounts()
    lock_documents(connection, ids)
    deleted = connection.execute(delete(Document).where(Document.id.in_(ids)))
    return WriteCounts(deleted=deleted.rowcount)


def write_chunks(
    connection: Connection,
    chunking: str,
    documents: Sequence[ChunkedDocument],
    run_id: str | None = None,
    *,
    language: str = DEFAULT_LANGUAGE,
    chunk_tokens: int | None = None,
    overlap_tokens: int | None = None,
) -> WriteCounts:
    """Make the stored chunks of these documents equal to the given ones, and record that they are complete.

    Chunks of a chunking that searches use are staged until all those of their document have vectors.
    `chunk_tokens` and `overlap_tokens` are the project's own settings, None where it uses those of the chunking.
    """
    columns = [_CHUNKS[name] for name in ChunkRow.__slots__]
    rows = [chunk for document in documents for chunk in document.chunks]
    incoming = copy_rows(connection, "incoming_chunks", columns, map(_values, rows))
    in_language = cast(literal(language), REGCONFIG)
    own = {"chunk_tokens": chunk_tokens, "overlap_tokens": overlap_tokens}
    stamps = _copy_stamps(connection, chunking, documents, run_id, own)
    # The documents stay locked until the end of the transaction: none is deleted or changed meanwhile.
    routes = route_chunks(connection, chunking, documents)
    counts = _replace_chunks(connection, chunking, incoming, stamps, in_language, routes.direct)
    direct = set(routes.direct)
    number = sum(len(document.chunks) for document in documents if document.document_id in direct)
    counts.unchanged = number - counts.inserted - counts.updated
    counts += stage_chunks(connection, chunking, incoming, stamps, in_language, routes.staged)
    # A text that is stored already has its vector.
    publish_documents(connection, routes.staged)
    counts.size_bytes = sum(len(row.chunk_text.encode()) for row in rows)
    return counts


def _replace_chunks(
    connection: Connection, chunking: str, incoming: Table, stamps: Table, language: Any, ids: Sequence[UUID]
) -> WriteCounts:
    """Replace the chunks of documents that no search shows in this chunking."""
    if not ids:
        return WriteCounts()
    deleted = connection.execute(
        delete(DocumentChunk).where(
            id_in(DocumentChunk.document_id, ids),
            DocumentChunk.chunking == chunking,
            ~exists().where(incoming.c.id == DocumentChunk.id),
        )
    )
    names = [*ChunkRow.__slots__, "language"]
    wanted = select(incoming, language).where(id_in(incoming.c.document_id, ids))
    statement = insert(DocumentChunk).from_select(names, wanted)
    replaced = {name: statement.excluded[name] for name in names if name not in ("id", "document_id")}
    moved = or_(*(_CHUNKS[name].is_distinct_from(value) for name, value in replaced.items()))
    counts = _upsert(
        connection,
        statement.on_conflict_do_update(index_elements=["id"], set_=replaced | {"updated_at": func.now()}, where=moved),
    )
    names = [*(c.name for c in stamps.c), "language"]
    statement = insert(DocumentChunking).from_select(
        names, select(stamps, language).where(id_in(stamps.c.document_id, ids))
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["document_id", "chunking"],
            set_={name: statement.excluded[name] for name in names[2:]} | {"updated_at": func.now()},
        )
    )
    counts.deleted = deleted.rowcount
    return counts


def _copy_stamps(
    connection: Connection,
    chunking: str,
    documents: Sequence[ChunkedDocument],
    run_id: str | None,
    own: Mapping[str, int | None],
) -> Table:
    names = ("document_id", "chunking", "content_hash", "chunk_count", "unknown_share", "run_id", *own)
    stamps = [
        (d.document_id, chunking, d.content_hash, len(d.chunks), d.unknown_share, run_id, *own.values())
        for d in documents
    ]
    return copy_rows(connection, "incoming_chunkings", [_CHUNKINGS[name] for name in names], stamps)


# More are copied into a temporary table, which takes longer to make than a few vectors take to store.
MOST_SENT_VECTORS = 256


def write_embeddings(
    connection: Connection, space_id: int, rows: Sequence[EmbeddingRow], faults: Sequence[EmbeddingFailureRow] = ()
) -> WriteCounts:
    """Store vectors of a space by the hash of their text, and record the texts that failed.

    Publishes the documents that are complete with them.
    """
    if not rows and not faults:
        return WriteCounts()
    counts = WriteCounts(failed=len(faults), size_bytes=sum(row.embedding.nbytes for row in rows))
    if rows:
        hashes, dimensions = [row.content_hash for row in rows], len(rows[0].embedding)
        values: dict[str, Any] = {}
        if len(rows) <= MOST_SENT_VECTORS:
            register_packed_vectors(connection.connection)
            packed = PackedVectors.of([PackedVector.of_array(row.embedding) for row in rows])
            statement, values = _insert_sent_vectors(space_id, dimensions), {"hashes": hashes, "vectors": packed}
        else:
            columns = [partition(space_id).c[name] for name in EmbeddingRow.__slots__]
            incoming = copy_rows(connection, "incoming_embeddings", columns, map(_values, rows))
            statement = _insert_vectors(space_id, dimensions, incoming)
        # Without this option SQLAlchemy does not keep the row count of an INSERT.
        stored = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
        counts.inserted = stored.rowcount
        publish_documents_of_texts(connection, hashes)
    if faults:
        failed = insert(EmbeddingFailure).values(
            [{"space_id": space_id, "content_hash": f.content_hash, "error": f.error} for f in faults]
        )
        connection.execute(
            failed.on_conflict_do_update(
                index_elements=["space_id", "content_hash"],
                set_={"error": failed.excluded.error, "updated_at": func.now()},
            )
        )
    return counts


# To build it takes as long as to execute it, and there is one for each few texts of the model.
@lru_cache(maxsize=64)
def _insert_sent_vectors(space_id: int, dimensions: int) -> Insert:
    return _insert_vectors(space_id, dimensions, select_sent_vectors(dimensions))


def _insert_vectors(space_id: int, dimensions: int, incoming: CTE | Table) -> Insert:
    """Store the rows, and clear the failures of their texts in the same statement."""
    failures = EmbeddingFailure.__table__.c
    cleared = (
        delete(EmbeddingFailure)
        .where(and_(failures.space_id == space_id, failures.content_hash == incoming.c.content_hash))
        .cte("cleared")
    )
    sum_ = checksum(incoming.c.content_hash, incoming.c.embedding, dimensions)
    rows = select(literal_column(str(int(space_id))), incoming.c.content_hash, incoming.c.embedding, sum_)
    names = ["space_id", "content_hash", "embedding", "checksum"]
    statement = insert(partition(space_id)).from_select(names, rows).on_conflict_do_nothing()
    return statement.add_cte(cleared)


def write_embedding_cost(connection: Connection, space_id: int, cost: EmbeddingCostRow, run_id: str | None) -> None:
    """Record what a batch has cost; recording it twice counts once."""
    values = {name: getattr(cost, name) for name in EmbeddingCostRow.__slots__}
    statement = insert(EmbeddingCost).values(space_id=space_id, run_id=run_id, **values)
    connection.execute(statement.on_conflict_do_nothing())


def _upsert(connection: Connection, statement: Insert) -> WriteCounts:
    inserted = connection.scalars(statement.returning(_INSERTED)).all()
    return WriteCounts(inserted=sum(inserted), updated=len(inserted) - sum(inserted))


def _values(row: Any) -> list[Any]:
    return [getattr(row, name) for name in row.__slots__]

"""The one writer of each table: rows in, set-based statements, counts out; the caller owns the transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
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
    update,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, Insert, insert

from rag_assets.db.models import SCHEMA, Base, Document, DocumentChunk, DocumentChunking, EmbeddingFailure
from rag_assets.db.schema.text_search import DEFAULT_LANGUAGE
from rag_assets.db.spaces.checksums import checksum
from rag_assets.db.spaces.spaces import partition
from rag_assets.db.writes.copy import copy_rows
from rag_assets.db.writes.rows import (
    ChunkedDocument,
    ChunkRow,
    DocumentFailure,
    DocumentRow,
    DocumentTouch,
    EmbeddingFault,
    EmbeddingRow,
    Written,
)

_DOCUMENTS = Base.metadata.tables[f"{SCHEMA}.documents"].c
_CHUNKS = Base.metadata.tables[f"{SCHEMA}.document_chunks"].c
_CHUNKINGS = Base.metadata.tables[f"{SCHEMA}.document_chunkings"].c
# xmax is 0 in a row that this very statement inserted, and not in one that it updated.
_INSERTED: ColumnElement[bool] = literal_column("xmax = 0", Boolean())


def write_documents(connection: Connection, rows: Sequence[DocumentRow], run_id: str | None = None) -> Written:
    """Insert or replace what was read of documents, and by which run; clears an earlier failure."""
    if not rows:
        return Written()
    columns = [_DOCUMENTS[name] for name in DocumentRow.__slots__]
    incoming = copy_rows(connection, "incoming_documents", columns, map(_values, rows))
    names = [*(c.name for c in columns), "run_id"]
    statement = insert(Document).from_select(names, select(incoming, literal(run_id, Text)))
    replaced = {name: statement.excluded[name] for name in names if name != "id"}
    counts = _upsert(
        connection,
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_=replaced | {"status": "ok", "error": None, "updated_at": func.now()},
        ),
    )
    counts.size_bytes = sum(row.size_bytes for row in rows)
    return counts


def touch_documents(connection: Connection, rows: Sequence[DocumentTouch]) -> None:
    """Stamp the new source version of documents whose bytes are the same."""
    if not rows:
        return
    columns = [_DOCUMENTS[name] for name in DocumentTouch.__slots__]
    incoming = copy_rows(connection, "incoming_touches", columns, map(_values, rows))
    connection.execute(
        update(Document).where(Document.id == incoming.c.id).values(source_version=incoming.c.source_version)
    )


def fail_documents(connection: Connection, rows: Sequence[DocumentFailure]) -> Written:
    """Record why documents could not be read; what was known of them before stays."""
    if not rows:
        return Written()
    columns = [_DOCUMENTS[name] for name in DocumentFailure.__slots__]
    incoming = copy_rows(connection, "incoming_failures", columns, map(_values, rows))
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
    return Written(failed=len(rows))


def delete_documents(connection: Connection, ids: Sequence[UUID]) -> Written:
    """Remove documents with their chunks; their vectors go when nothing else points to them."""
    if not ids:
        return Written()
    gone = connection.execute(delete(Document).where(Document.id.in_(ids)))
    return Written(deleted=gone.rowcount)


def write_chunks(
    connection: Connection,
    chunking: str,
    documents: Sequence[ChunkedDocument],
    run_id: str | None = None,
    *,
    language: str = DEFAULT_LANGUAGE,
    chunk_tokens: int | None = None,
    overlap_tokens: int | None = None,
) -> Written:
    """Make the stored chunks of these documents equal to the given ones, and stamp them complete by this run.

    The tokens are those that the project asks for itself, None where it follows the chunking.
    """
    columns = [_CHUNKS[name] for name in ChunkRow.__slots__]
    rows = [chunk for document in documents for chunk in document.chunks]
    incoming = copy_rows(connection, "incoming_chunks", columns, map(_values, rows))
    ids = [document.document_id for document in documents]
    # From here to the end of the transaction nobody deletes these documents; a deletion under way is waited for.
    connection.execute(
        select(Document.id).where(Document.id.in_(ids)).order_by(Document.id).with_for_update(read=True, key_share=True)
    )
    gone = connection.execute(
        delete(DocumentChunk).where(
            DocumentChunk.document_id.in_(ids),
            DocumentChunk.chunking == chunking,
            ~exists().where(incoming.c.id == DocumentChunk.id),
        )
    )
    # A document that was deleted meanwhile takes its chunks with it: nothing is left to point to.
    in_language = cast(literal(language), REGCONFIG)
    wanted = select(incoming, in_language).where(exists().where(Document.id == incoming.c.document_id))
    names = [*ChunkRow.__slots__, "language"]
    statement = insert(DocumentChunk).from_select(names, wanted)
    replaced = {name: statement.excluded[name] for name in names if name not in ("id", "document_id")}
    moved = or_(*(_CHUNKS[name].is_distinct_from(value) for name, value in replaced.items()))
    counts = _upsert(
        connection,
        statement.on_conflict_do_update(index_elements=["id"], set_=replaced | {"updated_at": func.now()}, where=moved),
    )
    own = {"chunk_tokens": chunk_tokens, "overlap_tokens": overlap_tokens}
    _stamp_chunkings(connection, chunking, documents, run_id, own, in_language)
    counts.deleted = gone.rowcount
    counts.unchanged = len(rows) - counts.inserted - counts.updated
    counts.size_bytes = sum(len(row.chunk_text.encode()) for row in rows)
    return counts


def _stamp_chunkings(
    connection: Connection,
    chunking: str,
    documents: Sequence[ChunkedDocument],
    run_id: str | None,
    own: Mapping[str, int | None],
    language: ColumnElement[str],
) -> None:
    names = ("document_id", "chunking", "content_hash", "chunk_count", "run_id", *own)
    stamps = [(d.document_id, chunking, d.content_hash, len(d.chunks), run_id, *own.values()) for d in documents]
    incoming = copy_rows(connection, "incoming_chunkings", [_CHUNKINGS[name] for name in names], stamps)
    present = select(incoming, language).where(exists().where(Document.id == incoming.c.document_id))
    statement = insert(DocumentChunking).from_select([*names, "language"], present)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["document_id", "chunking"],
            set_={name: statement.excluded[name] for name in (*names[2:], "language")} | {"updated_at": func.now()},
        )
    )


def write_embeddings(
    connection: Connection, space_id: int, rows: Sequence[EmbeddingRow], faults: Sequence[EmbeddingFault] = ()
) -> Written:
    """Store vectors of one space by the hash of their text, and set aside the texts that failed."""
    if not rows and not faults:
        return Written()
    table = partition(space_id)
    counts = Written(failed=len(faults), size_bytes=sum(row.embedding.nbytes for row in rows))
    failures = EmbeddingFailure.__table__.c
    if rows:
        columns = [table.c[name] for name in EmbeddingRow.__slots__]
        incoming = copy_rows(connection, "incoming_embeddings", columns, map(_values, rows))
        proof = checksum(incoming.c.content_hash, incoming.c.embedding, len(rows[0].embedding))
        stored = connection.execute(
            insert(table)
            .from_select(
                ["space_id", "content_hash", "embedding", "checksum"],
                select(literal_column(str(int(space_id))), incoming, proof),
            )
            .on_conflict_do_nothing(),
            # SQLAlchemy keeps no count of an INSERT unless it is asked to.
            execution_options={"preserve_rowcount": True},
        )
        counts.inserted = stored.rowcount
        connection.execute(
            delete(EmbeddingFailure).where(
                and_(failures.space_id == space_id, failures.content_hash == incoming.c.content_hash)
            )
        )
    if faults:
        statement = insert(EmbeddingFailure).values(
            [{"space_id": space_id, "content_hash": f.content_hash, "error": f.error} for f in faults]
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["space_id", "content_hash"],
                set_={"error": statement.excluded.error, "updated_at": func.now()},
            )
        )
    return counts


def _upsert(connection: Connection, statement: Insert) -> Written:
    inserted = connection.scalars(statement.returning(_INSERTED)).all()
    return Written(inserted=sum(inserted), updated=len(inserted) - sum(inserted))


def _values(row: Any) -> list[Any]:
    return [getattr(row, name) for name in row.__slots__]

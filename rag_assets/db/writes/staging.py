"""What waits for its vectors: next versions of documents and other splits of them, which no search sees.

Once a space is live, a document that searches show is never changed in place: its next version is written into the
staged tables, and replaces the one that serves in the transaction that makes it complete (publishing.py). All writers
lock the rows of `documents` first, in the order of their ids.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    LargeBinary,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import (
    Document,
    DocumentChunk,
    DocumentChunking,
    EmbeddingSpace,
    StagedChunk,
    StagedChunking,
    StagedDocument,
)
from rag_assets.db.spaces.pending import stale_splits
from rag_assets.db.spaces.spaces import lock_spaces
from rag_assets.db.writes.invalidate import id_in
from rag_assets.db.writes.rows import ChunkedDocument, WriteCounts
from rag_assets.documents.shards import WHOLE, Shard


@dataclass(frozen=True, slots=True)
class ServingSpace:
    """A space of chunks that searches use now, or after a rollback."""

    id: int
    chunking: str
    is_live: bool


def lock_serving_spaces(connection: Connection) -> list[ServingSpace]:
    """The live space and the previous one, which stay that until the end of the transaction; [] while none is live."""
    # Shared with other writers: a promotion waits until they have committed, and they for the promotion.
    lock_spaces(connection, shared=True)
    found = connection.execute(
        select(EmbeddingSpace.id, EmbeddingSpace.chunking, EmbeddingSpace.status)
        .where(EmbeddingSpace.kind == "chunks", EmbeddingSpace.status.in_(("live", "previous")))
        .order_by(EmbeddingSpace.status, EmbeddingSpace.id)
    ).all()
    spaces = [ServingSpace(id_, chunking, status == "live") for id_, chunking, status in found]
    return spaces if any(space.is_live for space in spaces) else []


def lock_documents(connection: Connection, ids: Collection[UUID]) -> None:
    """Keep the rows of these documents from being changed by others; always in the same order, against deadlocks."""
    if ids:
        connection.execute(
            select(Document.id)
            .where(id_in(Document.id, list(ids)))
            .order_by(Document.id)
            .with_for_update(key_share=True)
        )


@dataclass(frozen=True, slots=True)
class DocumentRoutes:
    """Where rows that were read go: `staged` wait for vectors, `direct` are written now, `emptied` lost their text."""

    direct: list[UUID]
    staged: list[UUID]
    emptied: list[UUID]


def route_documents(connection: Connection, incoming: Table) -> DocumentRoutes:
    """Stage what would change the chunks that a search shows; a text that was taken away is not shown any longer."""
    serving = lock_serving_spaces(connection)
    ids = list(connection.scalars(select(incoming.c.id)))
    lock_documents(connection, ids)
    if not serving:
        return DocumentRoutes(ids, [], [])
    chunkings = literal([space.chunking for space in serving], ARRAY(Text))
    is_shown = exists().where(DocumentChunk.document_id == incoming.c.id, DocumentChunk.chunking == any_(chunkings))
    is_empty = incoming.c.content.op("!~")(r"\S")
    found = connection.execute(
        select(incoming.c.id, func.coalesce(_splits_alike(Document, incoming), False), is_empty, is_shown).outerjoin(
            Document, Document.id == incoming.c.id
        )
    )
    routes = DocumentRoutes([], [], [])
    for id_, same, empty, shown in found:
        (routes.staged if shown and not same and not empty else routes.direct).append(id_)
        if empty and not same:
            routes.emptied.append(id_)
    return routes


def stage_documents(connection: Connection, incoming: Table, ids: Sequence[UUID], run_id: str | None) -> WriteCounts:
    """Write the next versions of these documents, in place of earlier ones that still wait."""
    if not ids:
        return WriteCounts()
    unchanged = exists().where(
        StagedDocument.id == StagedChunking.document_id,
        incoming.c.id == StagedDocument.id,
        _splits_alike(StagedDocument, incoming),
    )
    connection.execute(delete(StagedChunking).where(id_in(StagedChunking.document_id, ids), ~unchanged))
    names = [c.name for c in incoming.c if c.name in StagedDocument.__table__.c]
    rows = select(*(incoming.c[name] for name in names), literal(run_id, Text)).where(id_in(incoming.c.id, ids))
    statement = insert(StagedDocument).from_select([*names, "run_id"], rows)
    replaced = {name: statement.excluded[name] for name in (*names, "run_id") if name != "id"}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_=replaced | {"updated_at": func.now()})
    )
    was_failed = and_(id_in(Document.id, ids), Document.status == "failed")
    connection.execute(update(Document).where(was_failed).values(status="ok", error=None))
    return WriteCounts(updated=len(ids))


def discard_superseded(connection: Connection, incoming: Table, routes: DocumentRoutes) -> None:
    """Delete what waited for documents that are written at once, and the chunks of those that lost their text."""
    if not routes.direct:
        return
    of_same_text = exists().where(
        Document.id == StagedChunking.document_id,
        incoming.c.id == Document.id,
        _splits_alike(Document, incoming),
        StagedChunking.content_hash == incoming.c.content_hash,
    )
    of_next_text = exists().where(StagedDocument.id == StagedChunking.document_id)
    superseded = id_in(StagedChunking.document_id, routes.direct)
    connection.execute(delete(StagedChunking).where(superseded, or_(of_next_text, ~of_same_text)))
    connection.execute(delete(StagedDocument).where(id_in(StagedDocument.id, routes.direct)))
    if routes.emptied:
        connection.execute(delete(DocumentChunk).where(id_in(DocumentChunk.document_id, routes.emptied)))
        connection.execute(delete(DocumentChunking).where(id_in(DocumentChunking.document_id, routes.emptied)))


def discard_stale_splits(connection: Connection, project_id: UUID, shard: Shard = WHOLE) -> None:
    """Delete the project's staged splits that nothing asks for any more: of other texts, or with other settings."""
    stale = stale_splits(project_id, shard)
    if found := connection.execute(stale).all():
        lock_documents(connection, [id_ for id_, _ in found])
        stamp = tuple_(StagedChunking.document_id, StagedChunking.chunking)
        connection.execute(delete(StagedChunking).where(stamp.in_(stale)))


@dataclass(frozen=True, slots=True)
class ChunkRoutes:
    """Documents whose chunks are written at once, and those whose chunks are staged; all others are out of date."""

    direct: list[UUID]
    staged: list[UUID]


def route_chunks(connection: Connection, chunking: str, documents: Sequence[ChunkedDocument]) -> ChunkRoutes:
    """Stage the chunks of a chunking that searches use; leave out documents that were deleted or changed meanwhile."""
    serving = lock_serving_spaces(connection)
    ids = [document.document_id for document in documents]
    lock_documents(connection, ids)
    found = connection.execute(
        select(Document.id, Document.content_hash, StagedDocument.content_hash)
        .outerjoin(StagedDocument, StagedDocument.id == Document.id)
        .where(id_in(Document.id, ids))
    )
    hashes = {id_: (now, next_) for id_, now, next_ in found}
    if not serving:
        return ChunkRoutes([id_ for id_ in ids if id_ in hashes], [])
    serves = chunking in {space.chunking for space in serving}
    routes = ChunkRoutes([], [])
    for document in documents:
        now, next_ = hashes.get(document.document_id, (None, None))
        if document.of_staged_text:
            if document.content_hash == next_:
                routes.staged.append(document.document_id)
        elif document.content_hash == now and not (serves and next_):
            (routes.staged if serves else routes.direct).append(document.document_id)
    return routes


def stage_chunks(
    connection: Connection, chunking: str, incoming: Table, stamps: FromClause, language: Any, ids: Sequence[UUID]
) -> WriteCounts:
    """Write the splits of these documents, with their chunks; the counts compare them with what searches show."""
    if not ids:
        return WriteCounts()
    old = and_(id_in(StagedChunking.document_id, ids), StagedChunking.chunking == chunking)
    connection.execute(delete(StagedChunking).where(old))
    names = [c.name for c in stamps.c]
    chosen = select(stamps, language).where(id_in(stamps.c.document_id, ids))
    connection.execute(insert(StagedChunking).from_select([*names, "language"], chosen))
    names = [c.name for c in incoming.c]
    rows = select(incoming).where(id_in(incoming.c.document_id, ids))
    connection.execute(insert(StagedChunk).from_select(names, rows))
    shown = DocumentChunk.__table__
    differs = or_(*(shown.c[name].is_distinct_from(incoming.c[name]) for name in names if name != "id"))
    total, inserted, updated = connection.execute(
        select(
            func.count(),
            func.count().filter(shown.c.id.is_(None)),
            func.count().filter(shown.c.id.is_not(None), or_(differs, shown.c.language != language)),
        )
        .select_from(incoming.outerjoin(shown, shown.c.id == incoming.c.id))
        .where(id_in(incoming.c.document_id, ids))
    ).one()
    before = connection.scalar(
        select(func.count())
        .select_from(DocumentChunk)
        .where(id_in(DocumentChunk.document_id, ids), DocumentChunk.chunking == chunking)
    )
    kept = total - inserted
    return WriteCounts(inserted=inserted, updated=updated, deleted=(before or 0) - kept, unchanged=kept - updated)


# Built once: each few vectors send it.
_OF_TEXTS = (
    select(StagedChunk.document_id)
    .where(StagedChunk.content_hash == any_(bindparam("hashes", type_=ARRAY(LargeBinary))))
    .distinct()
    .limit(bindparam("limit", type_=Integer))
)


def staged_documents_of_texts(connection: Connection, hashes: Sequence[bytes], limit: int) -> list[UUID]:
    """The documents, up to `limit`, with staged chunks of one of these texts."""
    return list(connection.scalars(_OF_TEXTS, {"hashes": list(hashes), "limit": limit}))


def _splits_alike(version: Any, incoming: Table) -> ColumnElement[bool]:
    """Whether a stored version and the incoming one have the same chunks: text, kind of file and pages are equal."""
    return and_(
        version.content_hash == incoming.c.content_hash,
        version.file_type == incoming.c.file_type,
        version.parse_report["page_starts"].is_not_distinct_from(incoming.c.parse_report["page_starts"]),
    )

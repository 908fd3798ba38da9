"""Replace the versions of documents that searches show by those that have all their vectors, in one transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Text,
    Uuid,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from rag_assets.db.models import (
    SCHEMA,
    Base,
    Document,
    DocumentChunk,
    DocumentChunking,
    Embedding,
    EmbeddingFailure,
    StagedChunk,
    StagedChunking,
    StagedDocument,
)
from rag_assets.db.spaces.vector_deletion import keep_vectors
from rag_assets.db.writes.invalidate import id_in
from rag_assets.db.writes.staging import (
    ServingSpace,
    lock_documents,
    lock_serving_spaces,
    staged_documents_of_texts,
)

# Documents that one write of vectors publishes; the rest follows at the end of the stage, in writes of its own.
MOST_DOCUMENTS = 200

_DOCUMENTS, _STAGED_DOCUMENTS = (Base.metadata.tables[f"{SCHEMA}.{name}"] for name in ("documents", "staged_documents"))

# A document and a chunking.
Split = tuple[UUID, str]


def publish_documents_of_texts(connection: Connection, hashes: Sequence[bytes]) -> int:
    """Publish the staged documents that became complete when these texts got their vectors."""
    return publish_documents(connection, staged_documents_of_texts(connection, hashes, MOST_DOCUMENTS))


def publish_documents(
    connection: Connection, ids: Sequence[UUID], *, live_only: bool = False, without_refused: bool = False
) -> int:
    """Of these documents, publish those that are complete, with text, chunks and stamps; returns how many.

    A next version is complete once it was split for every space that searches use, the previous one included, and all
    of its texts have vectors in each. `live_only` waits for the live space alone, and `without_refused` does not wait
    for texts that the model has refused. Once a space is live, nothing else changes what searches show of a document.
    """
    if not ids:
        return 0
    serving = lock_serving_spaces(connection)
    if live_only:
        serving = [space for space in serving if space.is_live]
    if not serving:
        return 0
    # Locked before they are looked at: another writer may be about to replace what is staged, or to delete vectors.
    lock_documents(connection, ids)
    if not keep_vectors(connection, wait=live_only):
        return 0
    texts, splits = _complete_versions(connection, ids, serving, without_refused=without_refused)
    if splits:
        _replace(connection, texts, splits)
    return len({id_ for id_, _ in splits})


def _complete_versions(
    connection: Connection, ids: Sequence[UUID], serving: Sequence[ServingSpace], *, without_refused: bool
) -> tuple[list[UUID], list[Split]]:
    """The documents whose text changes hands, and all splits that do."""
    split, chunk = StagedChunking, StagedChunk
    of_split = and_(chunk.document_id == split.document_id, chunk.chunking == split.chunking)
    chunks = select(func.count()).select_from(chunk).where(of_split).scalar_subquery()
    is_whole = and_(
        split.content_hash == func.coalesce(StagedDocument.content_hash, Document.content_hash),
        split.chunk_count == chunks,
    )
    has_vectors: list[tuple[ColumnElement[bool], ColumnElement[bool]]] = []
    for chunking in {space.chunking for space in serving}:
        missing = [
            _lacks_vector(space, without_refused=without_refused) for space in serving if space.chunking == chunking
        ]
        has_vectors.append((split.chunking == chunking, ~exists().where(of_split, or_(*missing))))
    found = connection.execute(
        select(
            split.document_id,
            split.chunking,
            StagedDocument.id.is_not(None),
            and_(is_whole, case(*has_vectors, else_=true())),
        )
        .join(Document, Document.id == split.document_id)
        .outerjoin(StagedDocument, StagedDocument.id == split.document_id)
        .where(id_in(split.document_id, ids))
    )
    complete: dict[UUID, set[str]] = {}
    with_text = set()
    for id_, chunking, has_text, is_complete in found:
        if has_text:
            with_text.add(id_)
        if is_complete:
            complete.setdefault(id_, set()).add(chunking)
    needed = {space.chunking for space in serving}
    ready = {id_: made for id_, made in complete.items() if id_ not in with_text or needed <= made}
    return sorted(with_text & ready.keys()), [(id_, chunking) for id_, made in ready.items() for chunking in made]


def _lacks_vector(space: ServingSpace, *, without_refused: bool) -> ColumnElement[bool]:
    hash_ = StagedChunk.content_hash
    # Through the partitioned table: a partition that was lost counts as empty.
    lacks = ~exists().where(Embedding.space_id == space.id, Embedding.content_hash == hash_)
    if without_refused:
        failed = EmbeddingFailure
        lacks = and_(lacks, ~exists().where(failed.space_id == space.id, failed.content_hash == hash_))
    return lacks


def _replace(connection: Connection, texts: Sequence[UUID], splits: Sequence[Split]) -> None:
    """Everything of the staged versions takes the place of what was there, rows that stay the same untouched."""
    chosen = _is_one_of(splits)
    staged_split = chosen(StagedChunking.document_id, StagedChunking.chunking)
    staged_chunk = chosen(StagedChunk.document_id, StagedChunk.chunking)
    has_new_text = id_in(StagedChunking.document_id, texts)
    if texts:
        # Splits of the new text that are not whole are made again.
        connection.execute(delete(StagedChunking).where(has_new_text, ~staged_split))
        values = {c.name: c for c in _STAGED_DOCUMENTS.c if c.name not in ("id", "created_at", "updated_at")}
        connection.execute(
            update(_DOCUMENTS)
            .where(_DOCUMENTS.c.id == _STAGED_DOCUMENTS.c.id, id_in(_DOCUMENTS.c.id, texts))
            .values(values | {"updated_at": func.now()})
        )
        # Every other chunking has chunks of the old text.
        for table in (DocumentChunk, DocumentChunking):
            is_replaced = chosen(table.document_id, table.chunking)
            connection.execute(delete(table).where(id_in(table.document_id, texts), ~is_replaced))
    stays = exists().where(StagedChunk.id == DocumentChunk.id, staged_chunk)
    connection.execute(delete(DocumentChunk).where(chosen(DocumentChunk.document_id, DocumentChunk.chunking), ~stays))
    _move_chunks(connection, staged_chunk)
    _move_stamps(connection, staged_split)
    connection.execute(delete(StagedChunking).where(staged_split))
    if texts:
        connection.execute(delete(StagedDocument).where(id_in(StagedDocument.id, texts)))


def _move_chunks(connection: Connection, chosen: ColumnElement[bool]) -> None:
    names = [c.name for c in StagedChunk.__table__.c if c.name not in ("created_at", "updated_at")]
    staged = select(*(StagedChunk.__table__.c[name] for name in names), StagedChunking.language).join(
        StagedChunking,
        and_(StagedChunking.document_id == StagedChunk.document_id, StagedChunking.chunking == StagedChunk.chunking),
    )
    statement = insert(DocumentChunk).from_select([*names, "language"], staged.where(chosen))
    replaced = {n: statement.excluded[n] for n in (*names, "language") if n not in ("id", "document_id", "chunking")}
    stored = DocumentChunk.__table__.c
    moved = or_(*(stored[name].is_distinct_from(value) for name, value in replaced.items()))
    connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_=replaced | {"updated_at": func.now()}, where=moved)
    )


def _move_stamps(connection: Connection, chosen: ColumnElement[bool]) -> None:
    names = [c.name for c in StagedChunking.__table__.c if c.name not in ("created_at", "updated_at")]
    statement = insert(DocumentChunking).from_select(
        names, select(*(StagedChunking.__table__.c[name] for name in names)).where(chosen)
    )
    keys = ["document_id", "chunking"]
    replaced = {name: statement.excluded[name] for name in names if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced | {"updated_at": func.now()}))


def _is_one_of(splits: Sequence[Split]) -> Any:
    """A condition on two columns; the splits are two arrays, since parameters are limited in number."""
    ids = literal([id_ for id_, _ in splits], ARRAY(Uuid))
    chunkings = literal([chunking for _, chunking in splits], ARRAY(Text))
    pairs = func.unnest(ids, chunkings).table_valued("id", "chunking").render_derived()
    return lambda id_, chunking: tuple_(id_, chunking).in_(select(pairs.c.id, pairs.c.chunking))

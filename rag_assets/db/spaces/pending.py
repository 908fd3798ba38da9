"""Pending work: documents whose chunks are missing or outdated, and texts without a vector."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Exists,
    Integer,
    Select,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from rag_assets.db.models import (
    Document,
    DocumentChunk,
    DocumentChunking,
    EmbeddingFailure,
    EmbeddingSpace,
    Project,
    StagedChunk,
    StagedChunking,
    StagedDocument,
)
from rag_assets.db.schema.text_search import DEFAULT_LANGUAGE
from rag_assets.db.spaces.chunk_limit import has_other_limit
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.shards import in_shard
from rag_assets.db.spaces.text_kinds import (
    TextSource,
    created_on_day,
    searched_text_source,
    text_source,
    utc_midnight,
)
from rag_assets.documents.shards import WHOLE, Shard
from rag_assets.settings.settings import load_settings


def pending_documents(
    project_id: UUID | None, chunking: str, *, shard: Shard = WHOLE, max_chunks: int | None = None
) -> Select[UUID, int]:
    """Documents of one or all projects whose text, chunking, language or chunk size changed: (id, bytes of text).

    So are those that `max_chunks` treats otherwise than they were; None means that of the settings.
    A split that waits for its vectors counts as made. A document with a next version is not split again for searches
    that use the chunking: `pending_staged_documents` has the text that will replace it.
    """
    limit = load_settings().max_chunks if max_chunks is None else max_chunks
    stamp, split = aliased(DocumentChunking), aliased(StagedChunking)
    used = exists().where(
        EmbeddingSpace.kind == "chunks",
        EmbeddingSpace.chunking == chunking,
        EmbeddingSpace.status.in_(("live", "previous")),
    )
    return (
        select(Document.id, func.octet_length(Document.content))
        .join(Project, Project.id == Document.project_id)
        .outerjoin(stamp, and_(stamp.document_id == Document.id, stamp.chunking == chunking))
        .where(
            _of_project(project_id, shard),
            Document.content.is_not(None),
            or_(~_is_split(stamp, Document.content_hash), has_other_limit(stamp, limit)),
            ~exists().where(
                split.document_id == Document.id,
                split.chunking == chunking,
                split.chunk_count <= limit,
                _is_split(split, Document.content_hash),
                _has_all_chunks(split),
            ),
            or_(~exists().where(StagedDocument.id == Document.id), ~used),
        )
        .order_by(Document.id)
    )


def pending_staged_documents(
    project_id: UUID | None, chunking: str, *, shard: Shard = WHOLE, max_chunks: int | None = None
) -> Select[UUID, int]:
    """Documents whose next version is not split yet, or was split with other settings: (id, bytes of text)."""
    limit = load_settings().max_chunks if max_chunks is None else max_chunks
    split = aliased(StagedChunking)
    return (
        select(Document.id, func.octet_length(StagedDocument.content))
        .join(Project, Project.id == Document.project_id)
        .join(StagedDocument, StagedDocument.id == Document.id)
        .where(
            _of_project(project_id, shard),
            ~exists().where(
                split.document_id == Document.id,
                split.chunking == chunking,
                split.chunk_count <= limit,
                _is_split(split, StagedDocument.content_hash),
                _has_all_chunks(split),
            ),
        )
        .order_by(Document.id)
    )


def has_staged_split(chunking: str) -> ColumnElement[bool]:
    """Whether all chunks of the document's newest text wait for their vectors, to replace those in searches."""
    split = aliased(StagedChunking)
    next_version = select(StagedDocument.content_hash).where(StagedDocument.id == Document.id)
    next_hash = next_version.correlate(Document).scalar_subquery()
    return exists().where(
        split.document_id == Document.id,
        split.chunking == chunking,
        split.content_hash == func.coalesce(next_hash, Document.content_hash),
        split.chunk_count > 0,
        _has_all_chunks(split),
    )


def stale_splits(project_id: UUID, shard: Shard = WHOLE) -> Select[UUID, str]:
    """Staged splits of a text that is neither the document's nor its next one, or that the settings do not ask for."""
    text_hash = func.coalesce(StagedDocument.content_hash, Document.content_hash)
    return (
        select(StagedChunking.document_id, StagedChunking.chunking)
        .join(Document, Document.id == StagedChunking.document_id)
        .join(Project, Project.id == Document.project_id)
        .outerjoin(StagedDocument, StagedDocument.id == Document.id)
        .where(_of_project(project_id, shard), ~_is_split(StagedChunking, text_hash))
    )


def changed_without_vectors(space: EmbeddingSpace, since: Any) -> ColumnElement[bool]:
    """Whether a document that was written since this time is not complete in the space; False for other kinds."""
    if space.kind != "chunks":
        return false()
    stamp, stored = aliased(DocumentChunking), partition(space.id)
    of_space = and_(stamp.document_id == Document.id, stamp.chunking == space.chunking)
    unsplit = exists().where(
        Document.updated_at >= since,
        Document.content.op("~")(r"\S"),
        ~exists().where(of_space, stamp.content_hash == Document.content_hash),
        # No search shows a new document that waits.
        ~has_staged_split(space.chunking),
    )
    refused = exists().where(
        EmbeddingFailure.space_id == space.id, EmbeddingFailure.content_hash == DocumentChunk.content_hash
    )
    unembedded = exists().where(
        stamp.updated_at >= since,
        stamp.chunking == space.chunking,
        DocumentChunk.document_id == stamp.document_id,
        DocumentChunk.chunking == stamp.chunking,
        ~exists().where(stored.c.content_hash == DocumentChunk.content_hash),
        ~refused,
    )
    return or_(unsplit, unembedded)


def staged_document_ids(project_id: UUID | None = None, shard: Shard = WHOLE) -> Select[UUID]:
    """Documents of one or all projects with a next version, or another split, that waits for its vectors."""
    waits = or_(
        exists().where(StagedDocument.id == Document.id), exists().where(StagedChunking.document_id == Document.id)
    )
    return select(Document.id).where(_of_project(project_id, shard), waits).order_by(Document.id)


def _of_project(project_id: UUID | None, shard: Shard = WHOLE) -> ColumnElement[bool]:
    return true() if project_id is None else and_(Document.project_id == project_id, in_shard(shard))


def _is_split(stamp: Any, text_hash: Any) -> ColumnElement[bool]:
    """Whether this stamp, of a document with its project, is of the text and of the project's present settings."""
    chunk_tokens, overlap_tokens = (
        cast(Project.settings[name].astext, Integer) for name in ("chunk_tokens", "overlap_tokens")
    )
    language = func.coalesce(Project.settings["language"].astext, DEFAULT_LANGUAGE)
    return and_(
        stamp.content_hash.is_not_distinct_from(text_hash),
        cast(stamp.language, Text).is_not_distinct_from(language),
        stamp.chunk_tokens.is_not_distinct_from(chunk_tokens),
        stamp.overlap_tokens.is_not_distinct_from(overlap_tokens),
    )


def _has_all_chunks(split: Any) -> ColumnElement[bool]:
    of_split = and_(StagedChunk.document_id == split.document_id, StagedChunk.chunking == split.chunking)
    chunks = select(func.count()).select_from(StagedChunk).where(of_split).scalar_subquery()
    condition: ColumnElement[bool] = split.chunk_count == chunks
    return condition


def documents_with_text(project_id: UUID, shard: Shard = WHOLE) -> Select[UUID, int]:
    """All documents of the project that have a text, pending or not; the same columns as `pending_documents`."""
    return (
        select(Document.id, func.octet_length(Document.content))
        .where(_of_project(project_id, shard), Document.content.is_not(None))
        .order_by(Document.id)
    )


def pending_texts(
    space: EmbeddingSpace, project_id: UUID | None = None, day: date | None = None, shard: Shard = WHOLE
) -> Select[Any]:
    """Distinct texts in use without a vector: (hash, text, tokens); longest first, so that estimates err high."""
    texts = text_source(space)
    columns = (texts.content_hash, texts.content.label("content"), texts.token_count.label("token_count"))
    found = (
        _pending(space, texts, project_id, day, *columns, shard=shard)
        .ext(distinct_on(texts.content_hash))
        .subquery("pending")
    )
    return select(found.c.content_hash, found.c.content, found.c.token_count).order_by(
        found.c.token_count.desc(), found.c.content_hash
    )


def count_pending_texts(
    space: EmbeddingSpace, project_id: UUID | None = None, day: date | None = None, shard: Shard = WHOLE
) -> Select[Any]:
    texts = text_source(space)
    return _pending(space, texts, project_id, day, func.count(texts.content_hash.distinct()), shard=shard)


def count_missing_texts(space: EmbeddingSpace) -> Select[Any]:
    """Same as `count_pending_texts`, of the texts alone that searches should find: not of staged ones."""
    texts = searched_text_source(space)
    return _pending(space, texts, None, None, func.count(texts.content_hash.distinct()))


def count_pending_tokens(space: EmbeddingSpace) -> Select[int, int]:
    """Of the distinct texts in use without a vector: (number, sum of tokens)."""
    texts = text_source(space)
    each = _pending(space, texts, None, None, func.max(texts.token_count).label("tokens")).group_by(texts.content_hash)
    distinct = each.subquery("distinct_texts")
    return select(func.count(), func.coalesce(func.sum(distinct.c.tokens), 0)).select_from(distinct)


def count_texts(space: EmbeddingSpace, project_id: UUID | None = None, day: date | None = None) -> Select[Any]:
    """The number of distinct texts in use of the space's kind, with or without a vector."""
    texts = text_source(space)
    return _texts(texts, project_id, day, func.count(texts.content_hash.distinct()))


def count_next_texts(space: EmbeddingSpace, project_id: UUID, shard: Shard = WHOLE) -> Select[Any]:
    """Same as `count_texts` of a project once what waits is served: without the texts that it replaces."""
    chunk, staged = DocumentChunk, StagedChunk
    served = (
        select(chunk.content_hash)
        .join(Document, Document.id == chunk.document_id)
        .where(_of_project(project_id, shard), chunk.chunking == space.chunking, ~is_replaced(chunk))
    )
    waiting = (
        select(staged.content_hash)
        .join(Document, Document.id == staged.document_id)
        .where(_of_project(project_id, shard), staged.chunking == space.chunking)
    )
    return select(func.count()).select_from(union(served, waiting).subquery("next_texts"))


def is_replaced(chunk: type[DocumentChunk]) -> Exists:
    """Whether another split of its document waits to replace the chunk."""
    return exists().where(StagedChunking.document_id == chunk.document_id, StagedChunking.chunking == chunk.chunking)


def count_searched_texts(space: EmbeddingSpace) -> Select[Any]:
    """Same as `count_texts`, of the texts alone that searches should find: not of staged ones."""
    texts = searched_text_source(space)
    return _texts(texts, None, None, func.count(texts.content_hash.distinct()))


def days_with_texts(
    space: EmbeddingSpace, first: date | None = None, last: date | None = None, *, pending: bool = False
) -> Select[date]:
    """The days (UTC) on which texts in use were created, in order; with `pending`, only texts without a vector."""
    texts = text_source(space)
    day = cast(func.timezone("UTC", texts.created_at), Date)
    found = _pending(space, texts, None, None, day) if pending else _texts(texts, None, None, day)
    statement: Select[date] = found.distinct()
    if first is not None:
        statement = statement.where(texts.created_at >= utc_midnight(first))
    if last is not None:
        statement = statement.where(texts.created_at < utc_midnight(last) + timedelta(days=1))
    return statement.order_by(day)


def has_text_in_use(space: EmbeddingSpace, content_hash: Any, at: datetime | None = None) -> Exists:
    """Whether a text in use of the space's kind has this hash; a vector without one is an orphan.

    With `at`, texts that were in use at that time count too.
    """
    texts = text_source(space)
    in_use = texts.in_use if at is None else or_(texts.in_use, texts.was_in_use(at))
    return exists().where(texts.content_hash == content_hash, in_use)


def _pending(
    space: EmbeddingSpace,
    texts: TextSource,
    project_id: UUID | None,
    day: date | None,
    *columns: Any,
    shard: Shard = WHOLE,
) -> Select[Any]:
    stored = partition(space.id)
    return _texts(texts, project_id, day, *columns, shard=shard).where(
        ~exists().where(stored.c.content_hash == texts.content_hash)
    )


def _texts(
    texts: TextSource, project_id: UUID | None, day: date | None, *columns: Any, shard: Shard = WHOLE
) -> Select[Any]:
    statement = select(*columns).select_from(texts.table).where(texts.in_use)
    if project_id is not None:
        statement = texts.of_project(statement, project_id)
        if shard.of > 1:
            # Only documents have shards.
            statement = statement.where(in_shard(shard))
    if day is not None:
        statement = statement.where(created_on_day(texts, day))
    return statement

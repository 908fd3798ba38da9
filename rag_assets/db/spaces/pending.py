"""Pending work: documents whose chunks are missing or outdated, and texts without a vector."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Date, Exists, Integer, Select, Text, and_, cast, exists, func, or_, select, true
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from rag_assets.db.models import Document, DocumentChunking, EmbeddingSpace, Project
from rag_assets.db.schema.text_search import DEFAULT_LANGUAGE
from rag_assets.db.spaces.chunk_limit import has_other_limit
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.text_kinds import created_on_day, text_source, utc_midnight
from rag_assets.settings.settings import load_settings


def pending_documents(project_id: UUID | None, chunking: str, *, max_chunks: int | None = None) -> Select[UUID, int]:
    """Documents of one or all projects whose text, chunking, language or chunk size changed: (id, bytes of text).

    So are those that `max_chunks` treats otherwise than they were; None means that of the settings.
    """
    limit = load_settings().max_chunks if max_chunks is None else max_chunks
    stamp = aliased(DocumentChunking)
    chunk_tokens, overlap_tokens = (
        cast(Project.settings[name].astext, Integer) for name in ("chunk_tokens", "overlap_tokens")
    )
    language = func.coalesce(Project.settings["language"].astext, DEFAULT_LANGUAGE)
    return (
        select(Document.id, func.octet_length(Document.content))
        .join(Project, Project.id == Document.project_id)
        .outerjoin(stamp, and_(stamp.document_id == Document.id, stamp.chunking == chunking))
        .where(
            true() if project_id is None else Document.project_id == project_id,
            Document.content.is_not(None),
            or_(
                stamp.content_hash.is_distinct_from(Document.content_hash),
                cast(stamp.language, Text).is_distinct_from(language),
                stamp.chunk_tokens.is_distinct_from(chunk_tokens),
                stamp.overlap_tokens.is_distinct_from(overlap_tokens),
                has_other_limit(stamp, limit),
            ),
        )
        .order_by(Document.id)
    )


def documents_with_text(project_id: UUID) -> Select[UUID, int]:
    """All documents of the project that have a text, pending or not; the same columns as `pending_documents`."""
    return (
        select(Document.id, func.octet_length(Document.content))
        .where(Document.project_id == project_id, Document.content.is_not(None))
        .order_by(Document.id)
    )


def pending_texts(space: EmbeddingSpace, project_id: UUID | None = None, day: date | None = None) -> Select[Any]:
    """Distinct texts in use without a vector: (hash, text, tokens); longest first, so that estimates err high."""
    texts = text_source(space)
    columns = (texts.content_hash, texts.content.label("content"), texts.token_count.label("token_count"))
    found = _pending(space, project_id, day, *columns).ext(distinct_on(texts.content_hash)).subquery("pending")
    return select(found.c.content_hash, found.c.content, found.c.token_count).order_by(
        found.c.token_count.desc(), found.c.content_hash
    )


def count_pending_texts(space: EmbeddingSpace, project_id: UUID | None = None, day: date | None = None) -> Select[Any]:
    return _pending(space, project_id, day, func.count(text_source(space).content_hash.distinct()))


def count_pending_tokens(space: EmbeddingSpace) -> Select[int, int]:
    """Of the distinct texts in use without a vector: (number, sum of tokens)."""
    texts = text_source(space)
    each = _pending(space, None, None, func.max(texts.token_count).label("tokens")).group_by(texts.content_hash)
    distinct = each.subquery("distinct_texts")
    return select(func.count(), func.coalesce(func.sum(distinct.c.tokens), 0)).select_from(distinct)


def count_texts(space: EmbeddingSpace, project_id: UUID | None = None, day: date | None = None) -> Select[Any]:
    """The number of distinct texts in use of the space's kind, with or without a vector."""
    return _texts(space, project_id, day, func.count(text_source(space).content_hash.distinct()))


def days_with_texts(
    space: EmbeddingSpace, first: date | None = None, last: date | None = None, *, pending: bool = False
) -> Select[date]:
    """The days (UTC) on which texts in use were created, in order; with `pending`, only texts without a vector."""
    texts = text_source(space)
    day = cast(func.timezone("UTC", texts.created_at), Date)
    statement: Select[date] = (_pending if pending else _texts)(space, None, None, day).distinct()
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


def _pending(space: EmbeddingSpace, project_id: UUID | None, day: date | None, *columns: Any) -> Select[Any]:
    stored = partition(space.id)
    return _texts(space, project_id, day, *columns).where(
        ~exists().where(stored.c.content_hash == text_source(space).content_hash)
    )


def _texts(space: EmbeddingSpace, project_id: UUID | None, day: date | None, *columns: Any) -> Select[Any]:
    texts = text_source(space)
    statement = select(*columns).select_from(texts.table).where(texts.in_use)
    if project_id is not None:
        statement = texts.of_project(statement, project_id)
    if day is not None:
        statement = statement.where(created_on_day(texts, day))
    return statement

"""What is not as it should be yet: documents without chunks of their text, texts without a vector."""

from typing import Any
from uuid import UUID

from sqlalchemy import Exists, Select, Text, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from rag_assets.db.languages import DEFAULT_LANGUAGE
from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, EmbeddingSpace, Project
from rag_assets.db.spaces import partition


def pending_documents(project_id: UUID, chunking: str) -> Select[UUID, int]:
    """Documents of the project to cut by this chunking, or in another language: id, size of the text in bytes."""
    stamp = aliased(DocumentChunking)
    language = func.coalesce(Project.settings["language"].astext, DEFAULT_LANGUAGE)
    return (
        select(Document.id, func.octet_length(Document.content))
        .join(Project, Project.id == Document.project_id)
        .outerjoin(stamp, and_(stamp.document_id == Document.id, stamp.chunking == chunking))
        .where(
            Document.project_id == project_id,
            Document.content.is_not(None),
            or_(
                stamp.content_hash.is_distinct_from(Document.content_hash),
                cast(stamp.language, Text).is_distinct_from(language),
            ),
        )
        .order_by(Document.id)
    )


def pending_texts(space: EmbeddingSpace, project_id: UUID | None = None) -> Select[Any]:
    """Distinct chunk texts without a vector: hash, text, tokens; longest first, so that estimates err high."""
    chunks = _pending_chunks(
        space, project_id, DocumentChunk.content_hash, DocumentChunk.chunk_text, DocumentChunk.token_count
    )
    found = chunks.ext(distinct_on(DocumentChunk.content_hash)).subquery("pending")
    return select(found.c.content_hash, found.c.chunk_text, found.c.token_count).order_by(
        found.c.token_count.desc(), found.c.content_hash
    )


def count_pending_texts(space: EmbeddingSpace, project_id: UUID | None = None) -> Select[Any]:
    return _pending_chunks(space, project_id, func.count(DocumentChunk.content_hash.distinct()))


def count_texts(space: EmbeddingSpace, project_id: UUID | None = None) -> Select[Any]:
    """Distinct chunk texts of the space's chunking, with or without a vector."""
    return _chunks(space, project_id, func.count(DocumentChunk.content_hash.distinct()))


def has_chunk(space: EmbeddingSpace, content_hash: Any) -> Exists:
    """Whether a chunk of the space's chunking has the text with this hash: what has none is an orphan."""
    return exists().where(DocumentChunk.content_hash == content_hash, DocumentChunk.chunking == space.chunking)


def _pending_chunks(space: EmbeddingSpace, project_id: UUID | None, *columns: Any) -> Select[Any]:
    stored = partition(space.id)
    return _chunks(space, project_id, *columns).where(
        ~exists().where(stored.c.content_hash == DocumentChunk.content_hash)
    )


def _chunks(space: EmbeddingSpace, project_id: UUID | None, *columns: Any) -> Select[Any]:
    statement = select(*columns).select_from(DocumentChunk).where(DocumentChunk.chunking == space.chunking)
    if project_id is not None:
        statement = statement.join(Document).where(Document.project_id == project_id)
    return statement

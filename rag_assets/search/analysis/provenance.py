"""Where a hit comes from: source, document, text, space and model, and the runs that wrote it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, exists, select

from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, Embedding, EmbeddingSpace, Project
from rag_assets.errors import UsageError


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """The embedding space that a chunk belongs to; `has_vector` is False while its text waits for one."""

    id: int
    status: str
    model: str
    revision: str
    dimensions: int
    distance: str
    storage: str
    normalize: bool
    chunking_settings: dict[str, Any]
    has_vector: bool


@dataclass(frozen=True, slots=True)
class Provenance:
    """All that is known of how a chunk came to be.

    `served`: searches by meaning find it, in the live space. `current`: the document's text is still the one that it
    was cut from, so that the offsets point into it. `space` is the live one where the chunk belongs to that, else
    the newest with its chunking, or None when that was dropped. `source_version` and `source_hash` (sha256 of the
    bytes, in hex) are of what was last read from the source. The ids are of the Dagster runs that last wrote the
    document's text, and its chunks; None for rows written without a run.
    """

    chunk_id: UUID
    chunk_index: int
    char_start: int
    char_end: int
    text: str
    content_hash: str
    token_count: int
    heading_path: list[str]
    document_id: UUID
    project: str
    source_uri: str
    file_path: str
    title: str | None
    source_version: str | None
    source_hash: str | None
    reader: str | None
    chunking: str
    space: SpaceFacts | None
    served: bool
    current: bool
    document_run_id: str | None
    chunks_run_id: str | None
    document_updated_at: datetime
    chunk_updated_at: datetime


def explain_chunk(connection: Connection, chunk_id: UUID) -> Provenance:
    """What a hit's chunk was made of, by what, and when; also of one that is no longer served.

    Raises UsageError for an id that no stored chunk has.
    """
    chunk = connection.execute(_CHUNK, {"chunk": chunk_id}).one_or_none()
    if chunk is None:
        raise UsageError(
            f"there is no chunk {chunk_id}: its text was changed, cut anew or deleted since it was found; search again."
        )
    values = chunk._asdict()
    belongs = {"chunking": chunk.chunking, "content_hash": chunk.content_hash}
    space = connection.execute(_SPACE, belongs).one_or_none()
    facts = None if space is None else SpaceFacts(**space._asdict())
    values["content_hash"] = chunk.content_hash.hex()
    served = facts is not None and facts.status == "live" and facts.has_vector
    return Provenance(**values, space=facts, served=served)


_CHUNK = (
    select(
        DocumentChunk.id.label("chunk_id"),
        DocumentChunk.chunk_index,
        DocumentChunk.char_start,
        DocumentChunk.char_end,
        DocumentChunk.chunk_text.label("text"),
        DocumentChunk.content_hash,
        DocumentChunk.token_count,
        DocumentChunk.heading_path,
        Document.id.label("document_id"),
        Project.name.label("project"),
        Project.source_uri,
        Document.file_path,
        Document.title,
        Document.source_version,
        Document.hash.label("source_hash"),
        Document.reader,
        DocumentChunk.chunking,
        DocumentChunking.content_hash.is_not_distinct_from(Document.content_hash).label("current"),
        Document.run_id.label("document_run_id"),
        DocumentChunking.run_id.label("chunks_run_id"),
        Document.updated_at.label("document_updated_at"),
        DocumentChunk.updated_at.label("chunk_updated_at"),
    )
    .join(Document, Document.id == DocumentChunk.document_id)
    .join(Project, Project.id == Document.project_id)
    .outerjoin(
        DocumentChunking,
        and_(DocumentChunking.document_id == Document.id, DocumentChunking.chunking == DocumentChunk.chunking),
    )
    .where(DocumentChunk.id == bindparam("chunk"))
)

_SPACE = (
    select(
        EmbeddingSpace.id,
        EmbeddingSpace.status,
        EmbeddingSpace.model,
        EmbeddingSpace.revision,
        EmbeddingSpace.dimensions,
        EmbeddingSpace.distance,
        EmbeddingSpace.storage,
        EmbeddingSpace.normalize,
        EmbeddingSpace.chunking_settings,
        exists()
        .where(Embedding.space_id == EmbeddingSpace.id, Embedding.content_hash == bindparam("content_hash"))
        .label("has_vector"),
    )
    .where(EmbeddingSpace.kind == "chunks", EmbeddingSpace.chunking == bindparam("chunking"))
    .order_by((EmbeddingSpace.status == "live").desc(), EmbeddingSpace.id.desc())
    .limit(1)
)

"""The provenance of a hit: its source, document, text, space and model, and the runs that wrote it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, exists, select

from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, Embedding, EmbeddingSpace, Project
from rag_assets.errors import NotFoundError
from rag_assets.search.execution.read_session import ReadSession


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """The embedding space that a chunk belongs to; `has_vector` is False until its text is embedded."""

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
    """All that is stored about the origin of a chunk.

    - `served`: vector search finds it, in the live space.
    - `current`: the document's text is still the one that it was split from, so that its offsets are valid.
    - `space`: the live space if the chunk belongs to it, else the newest with its chunking; None if that was dropped.
    - `source_version`, `source_hash` (sha256 of the bytes, in hex): of the version that was last read from the source.
    - `document_run_id`, `chunks_run_id`: the Dagster runs that last wrote the document's text and its chunks; None for
      rows written without a run.
    """

    chunk_id: UUID
    chunk_index: int
    char_start: int
    char_end: int
    text: str
    content_hash: str
    token_count: int
    heading_path: list[str]
    header: str | None
    page: int | None
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


def answer_provenance(_: EmbeddingSpace, session: ReadSession, chunk_id: UUID) -> Provenance:
    return session.read(explain_chunk, chunk_id)


def explain_chunk(connection: Connection, chunk_id: UUID) -> Provenance:
    """The provenance of a chunk, also of one that is no longer served.

    Raises NotFoundError for an id that no stored chunk has.
    """
    chunk = connection.execute(_CHUNK, {"chunk": chunk_id}).one_or_none()
    if chunk is None:
        raise NotFoundError(
            f"there is no chunk {chunk_id}: its text was changed, split again or deleted since it was found; "
            "search again."
        )
    values = chunk._asdict()
    space = connection.execute(_SPACE, {"chunking": chunk.chunking, "content_hash": chunk.content_hash}).one_or_none()
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
        DocumentChunk.header,
        DocumentChunk.page,
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

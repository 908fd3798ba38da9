"""Chunks similar to a stored chunk or document, by their stored vectors; no model is needed."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, select

from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import PackedVector
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.search.analysis.chunk_selection import average_vector, check_projects, find_document
from rag_assets.search.execution.executor import SearchContext, SearchExecutor
from rag_assets.search.execution.modes import EmbeddedRequest, vector_hits
from rag_assets.search.request import SearchRequest
from rag_assets.search.results import Answer
from rag_assets.search.vector.nearest import KnnQuery, KnnResult, search_nearest


@dataclass(frozen=True, slots=True)
class ReferenceVector:
    """The vector of a chunk or a document, and the conditions that leave out what it is of."""

    vector: PackedVector
    excluded: Sequence[ColumnElement[bool]]


def answer_similar(
    space: EmbeddingSpace,
    executor: SearchExecutor,
    request: SearchRequest,
    target: UUID | tuple[str, str],
    equal_texts: bool,
) -> Answer:
    """The chunks most similar to a chunk (its id) or to a document (project, file path)."""
    started = time.perf_counter()
    query, result = executor.context.live.read(
        space, _search_similar, executor.context, request, target, equal_texts, timeout_s=request.timeout_s
    )
    took_ms = (time.perf_counter() - started) * 1000
    return executor.finish(
        EmbeddedRequest(request, query, timings={"vector": took_ms}), space, vector_hits(query, result), took_ms
    )


def chunk_reference(
    connection: Connection, space: EmbeddingSpace, chunk_id: UUID, *, equal_texts: bool = False
) -> ReferenceVector:
    """Leaves out the chunk itself, and all chunks with the very same text unless `equal_texts`.

    A chunk of an earlier chunking will do as long as its text is in the space. Raises UsageError for an unknown id and
    for a text without a vector.
    """
    table = partition(space.id)
    chunk = connection.execute(
        select(DocumentChunk.content_hash, cast(table.c.embedding, Text).label("vector"))
        .outerjoin(table, and_(table.c.content_hash == DocumentChunk.content_hash, table.c.space_id == space.id))
        .where(DocumentChunk.id == chunk_id)
    ).one_or_none()
    if chunk is None:
        raise NotFoundError(
            f"there is no chunk {chunk_id}: it was changed or deleted since it was found; search again."
        )
    if chunk.vector is None:
        raise UsageError(
            f"the text of chunk {chunk_id} has no vector in space {space.id}, the one that is searched; search again."
        )
    same = DocumentChunk.id == chunk_id if equal_texts else DocumentChunk.content_hash == chunk.content_hash
    return ReferenceVector(PackedVector.of(json.loads(chunk.vector)), [~same])


def document_reference(
    connection: Connection, space: EmbeddingSpace, document_id: UUID, *, equal_texts: bool = False
) -> ReferenceVector:
    """The average vector of the document's chunks.

    Leaves out the document itself, and all chunks with the text of one of its own unless `equal_texts`. Raises
    UsageError for an unknown id and for a document without vectors.
    """
    vector = average_vector(connection, space, document_id=document_id)
    if vector is None:
        raise UsageError(
            f"document {document_id} has no vector in space {space.id}, or several that cancel each other out; "
            "ingest its project, then search again."
        )
    excluded = [DocumentChunk.document_id != document_id]
    if not equal_texts:
        own = select(DocumentChunk.content_hash).where(
            DocumentChunk.document_id == document_id, DocumentChunk.chunking == space.chunking
        )
        excluded.append(DocumentChunk.content_hash.not_in(own))
    return ReferenceVector(PackedVector.of(json.loads(vector)), excluded)


def _search_similar(
    connection: Connection,
    space: EmbeddingSpace,
    context: SearchContext,
    request: SearchRequest,
    target: UUID | tuple[str, str],
    equal_texts: bool,
) -> tuple[KnnQuery, KnnResult]:
    check_projects(connection, request.filters)
    if isinstance(target, UUID):
        reference = chunk_reference(connection, space, target, equal_texts=equal_texts)
    else:
        document_id = find_document(connection, *target)
        reference = document_reference(connection, space, document_id, equal_texts=equal_texts)
    query = replace(context.knn_query(space, request, reference.vector), excluded=reference.excluded)
    return query, search_nearest(connection, query, context.selectivity)

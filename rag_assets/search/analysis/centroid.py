"""The average vector of a selection of chunks."""

import json
from uuid import UUID

from sqlalchemy import Connection

from rag_assets.db.models import EmbeddingSpace
from rag_assets.errors import UsageError
from rag_assets.search.analysis.chunk_selection import average_vector, find_document
from rag_assets.search.execution.executor import SearchContext
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.request import SearchRequest


def centroid(
    connection: Connection, space: EmbeddingSpace, filters: Filters = NO_FILTERS, *, document_id: UUID | None = None
) -> list[float]:
    """The average vector of the chunks that pass the filters, or of one document's chunks; of length 1 for cosine.

    Raises UsageError where no chunk passes, where the vectors cancel each other out, and for an unknown document.
    """
    vector = average_vector(connection, space, filters, document_id=document_id)
    if vector is None:
        raise UsageError(
            f"space {space.id} has no vectors of these chunks to average; widen the filters, or ingest first."
        )
    return list(json.loads(vector))


def answer_centroid(
    space: EmbeddingSpace, context: SearchContext, request: SearchRequest, document: tuple[str, str] | None
) -> list[float]:
    return context.live.read(space, _centroid, request.filters, document, timeout_s=request.timeout_s)


def _centroid(
    connection: Connection, space: EmbeddingSpace, filters: Filters, document: tuple[str, str] | None
) -> list[float]:
    document_id = None if document is None else find_document(connection, *document)
    return centroid(connection, space, filters, document_id=document_id)

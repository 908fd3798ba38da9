"""More like this: the chunks near a stored chunk or document, by the vectors that are there; no model is asked."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, select

from rag_assets.db.models import DocumentChunk, EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.errors import UsageError
from rag_assets.search.analysis.chunk_selection import average, check_projects
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.search.vector.nearest import Nearest, nearest_rows
from rag_assets.search.vector.selectivity import Counts

MOST_SIMILAR = 1_000


def similar_to_chunk(
    connection: Connection,
    space: EmbeddingSpace,
    chunk_id: UUID,
    *,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    equal_texts: bool = False,
    counts: Counts | None = None,
    ef_search: int | None = None,
    distance: str | None = None,
    exact: bool = False,
) -> Nearest:
    """The `k` chunks nearest to a chunk, itself left out, and with it all of the very same text unless `equal_texts`.

    Fewer come back only when fewer qualify. A chunk of an earlier chunking will do as long as its text is in the
    space. Raises UsageError for an id that no chunk has, and for a text without a vector.
    """
    _check(connection, k, filters)
    table = partition(space.id)
    chunk = connection.execute(
        select(DocumentChunk.content_hash, cast(table.c.embedding, Text).label("vector"))
        .outerjoin(table, and_(table.c.content_hash == DocumentChunk.content_hash, table.c.space_id == space.id))
        .where(DocumentChunk.id == chunk_id)
    ).one_or_none()
    if chunk is None:
        raise UsageError(f"there is no chunk {chunk_id}: it was changed or deleted since it was found; search again.")
    if chunk.vector is None:
        raise UsageError(
            f"the text of chunk {chunk_id} has no vector in space {space.id}, the one that is searched; search again."
        )
    left_out = DocumentChunk.id == chunk_id if equal_texts else DocumentChunk.content_hash == chunk.content_hash
    return _nearest(connection, space, chunk.vector, k, filters, [~left_out], counts, ef_search, distance, exact)


def similar_to_document(
    connection: Connection,
    space: EmbeddingSpace,
    document_id: UUID,
    *,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    equal_texts: bool = False,
    counts: Counts | None = None,
    ef_search: int | None = None,
    distance: str | None = None,
    exact: bool = False,
) -> Nearest:
    """The `k` chunks of other documents nearest to the average vector of this document's chunks.

    Chunks with the text of one of its own are left out too, unless `equal_texts`. Raises UsageError for an id that no
    document has, and for a document without vectors.
    """
    _check(connection, k, filters)
    vector = average(connection, space, document_id=document_id)
    if vector is None:
        raise UsageError(
            f"document {document_id} has no vector in space {space.id}, or several that cancel each other out; "
            "ingest its project, then ask again."
        )
    own = select(DocumentChunk.content_hash).where(
        DocumentChunk.document_id == document_id, DocumentChunk.chunking == space.chunking
    )
    left_out = [DocumentChunk.document_id != document_id]
    if not equal_texts:
        left_out.append(DocumentChunk.content_hash.not_in(own))
    return _nearest(connection, space, vector, k, filters, left_out, counts, ef_search, distance, exact)


def _check(connection: Connection, k: int, filters: Filters) -> None:
    if not 1 <= k <= MOST_SIMILAR:
        raise UsageError(f"k is {k}; choose 1 to {MOST_SIMILAR}.")
    check_projects(connection, filters)


def _nearest(
    connection: Connection,
    space: EmbeddingSpace,
    vector: str,
    k: int,
    filters: Filters,
    left_out: Sequence[ColumnElement[bool]],
    counts: Counts | None,
    ef_search: int | None,
    distance: str | None,
    exact: bool,
) -> Nearest:
    return nearest_rows(
        connection,
        space,
        vector,
        k=k,
        ef_search=min(1000, max(k, ef_search or space.ef_search)),
        filters=filters,
        counts=counts or Counts(),
        left_out=left_out,
        distance=distance,
        exact=exact,
    )

"""More like this: the chunks near a stored chunk or document, by the vectors that are there; no model is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Text, bindparam, cast, func, select

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.spaces import partition
from rag_assets.errors import UsageError
from rag_assets.search.filters import Filters
from rag_assets.search.selection import NO_FILTERS, average, check_projects, chosen_chunks
from rag_assets.search.statements import distance_to_query

MOST_SIMILAR = 1_000
# Up to here all qualifying chunks are compared: it takes a few milliseconds, and the graph would wander for long.
EXACT_CHUNKS = 5_000


@dataclass(frozen=True, slots=True)
class Similar:
    """(chunk id, distance) nearest first, and how they were found: `index` or `exact`."""

    chunks: list[tuple[UUID, float]]
    plan: str


def similar_to_chunk(
    connection: Connection,
    space: EmbeddingSpace,
    chunk_id: UUID,
    *,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    equal_texts: bool = False,
) -> Similar:
    """The `k` chunks nearest to a chunk, itself left out, and with it all of the very same text unless `equal_texts`.

    Fewer come back only when fewer qualify. A chunk of an earlier chunking will do as long as its text is in the
    space. Raises UsageError for an id that no chunk has, and for a text without a vector.
    """
    _check(connection, k, filters)
    table = partition(space.id)
    chunk = connection.execute(
        select(DocumentChunk.content_hash, cast(table.c.embedding, Text).label("vector"))
        .outerjoin(table, table.c.content_hash == DocumentChunk.content_hash)
        .where(DocumentChunk.id == chunk_id)
    ).one_or_none()
    if chunk is None:
        raise UsageError(f"there is no chunk {chunk_id}: it was changed or deleted since it was found; search again.")
    if chunk.vector is None:
        raise UsageError(
            f"the text of chunk {chunk_id} has no vector in space {space.id}, the one that is searched; search again."
        )
    left_out = DocumentChunk.id == chunk_id if equal_texts else DocumentChunk.content_hash == chunk.content_hash
    return _nearest(connection, space, chunk.vector, k, filters, [~left_out])


def similar_to_document(
    connection: Connection,
    space: EmbeddingSpace,
    document_id: UUID,
    *,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    equal_texts: bool = False,
) -> Similar:
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
    return _nearest(connection, space, vector, k, filters, left_out)


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
) -> Similar:
    """Exactly where few chunks qualify; else through the graph, and exactly after all where that gives too few."""
    if not filters or _are_many(connection, space, filters):
        _use_graph(connection, max(k, space.ef_search))
        found = _run(connection, _statement(space, filters, left_out, exactly=False), vector, k)
        if len(found) == k:
            return Similar(found, "index")
    return Similar(_run(connection, _statement(space, filters, left_out, exactly=True), vector, k), "exact")


def _are_many(connection: Connection, space: EmbeddingSpace, filters: Filters) -> bool:
    some = chosen_chunks(space, filters, DocumentChunk.id).limit(EXACT_CHUNKS + 1).subquery()
    return (connection.scalar(select(func.count()).select_from(some)) or 0) > EXACT_CHUNKS


def _run(connection: Connection, statement: Select[Any], vector: str, k: int) -> list[tuple[UUID, float]]:
    found = connection.execute(statement, {"query": vector, "k": k})
    return [(id_, float(distance)) for id_, distance in found]


def _statement(
    space: EmbeddingSpace, filters: Filters, left_out: Sequence[ColumnElement[bool]], *, exactly: bool
) -> Select[Any]:
    """(chunk id, distance) of the `k` chunks nearest to `query`; equal texts in a stable order."""
    table = partition(space.id)
    qualifying = chosen_chunks(space, filters, DocumentChunk.content_hash).where(*left_out)
    distance = distance_to_query(space, table)
    texts = select(table.c.content_hash, distance.label("distance"))
    if exactly:
        # Materialized, so that the planner sorts these vectors and does not walk the graph past all the others.
        wanted = qualifying.distinct().cte("wanted").prefix_with("MATERIALIZED", dialect="postgresql")
        compared = texts.join(wanted, wanted.c.content_hash == table.c.content_hash).cte("compared")
        compared = compared.prefix_with("MATERIALIZED", dialect="postgresql")
        nearest = select(compared).order_by(compared.c.distance).limit(bindparam("k")).cte("nearest")
    else:
        is_of_one = qualifying.where(DocumentChunk.content_hash == table.c.content_hash).exists()
        nearest = texts.where(is_of_one).order_by(distance).limit(bindparam("k")).cte("nearest")
    return (
        chosen_chunks(space, filters, DocumentChunk.id, nearest.c.distance)
        .join(nearest, nearest.c.content_hash == DocumentChunk.content_hash)
        .where(*left_out)
        .order_by(nearest.c.distance, Project.name, Document.file_path, DocumentChunk.chunk_index)
        .limit(bindparam("k"))
    )


def _use_graph(connection: Connection, ef_search: int) -> None:
    """For this transaction only; the graph goes on past the first candidates until enough of them qualify."""
    settings = {"hnsw.ef_search": str(min(ef_search, 1000)), "hnsw.iterative_scan": "strict_order"}
    connection.execute(select(*(func.set_config(name, value, True) for name, value in settings.items())))

"""The statements that searches send; checks and benchmarks send the very same ones."""

from typing import Any

from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import ARRAY, CTE, Float, Select, Table, Uuid, bindparam, cast, func, select

from rag_assets.db.hnsw import OPERATORS
from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, EmbeddingSpace, Project
from rag_assets.db.spaces import indexed, partition

CITED: tuple[Any, ...] = (
    Project.name.label("project"),
    Document.file_path,
    Document.title,
    DocumentChunk.id.label("chunk_id"),
    DocumentChunk.chunk_index,
    DocumentChunk.heading_path,
    DocumentChunk.char_start,
    DocumentChunk.char_end,
    DocumentChunk.chunk_text,
)


def distance_to_query(space: EmbeddingSpace, table: Table) -> Any:
    """The distance of a stored vector to the parameter `query`, in the words that the index serves."""
    kind = (HALFVEC if space.storage == "halfvec" else VECTOR)(space.dimensions)
    return indexed(space, table.c.embedding).op(OPERATORS[space.distance], return_type=Float())(
        cast(bindparam("query"), kind)
    )


def nearest_texts(space: EmbeddingSpace, table: Table) -> Select[Any]:
    """The `texts` nearest distinct texts to `query`, through the graph: (content_hash, distance)."""
    distance = distance_to_query(space, table)
    return select(table.c.content_hash, distance.label("distance")).order_by(distance).limit(bindparam("texts"))


def nearest_chunks(space: EmbeddingSpace) -> Select[Any]:
    """The `k` best chunks of all projects, through the graph."""
    return _chunks_of(space, nearest_texts(space, partition(space.id)).cte("nearest"))


def nearest_chunks_of_project(space: EmbeddingSpace) -> Select[Any]:
    """The `k` best chunks of the `project`, through the graph, which goes on until enough of them qualify."""
    table = partition(space.id)
    qualifies = _texts_of_project(space).where(DocumentChunk.content_hash == table.c.content_hash).exists()
    nearest = nearest_texts(space, table).where(qualifies).cte("nearest")
    return _chunks_of(space, nearest).where(Project.name == bindparam("project"))


def nearest_chunks_of_project_exactly(space: EmbeddingSpace) -> Select[Any]:
    """The `k` best chunks of the `project`, by comparing all of its vectors: right for a small one."""
    table = partition(space.id)
    wanted = (
        _texts_of_project(space)
        .with_only_columns(DocumentChunk.content_hash)
        .distinct()
        .cte("wanted")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # Materialized, so that the planner sorts these few vectors and does not walk the graph past all the others.
    compared = (
        select(table.c.content_hash, distance_to_query(space, table).label("distance"))
        .join(wanted, wanted.c.content_hash == table.c.content_hash)
        .cte("compared")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    nearest = select(compared).order_by(compared.c.distance).limit(bindparam("texts")).cte("nearest")
    return _chunks_of(space, nearest).where(Project.name == bindparam("project"))


def chunk_counts(space: EmbeddingSpace) -> Select[int, int]:
    """(chunks of the `project`, chunks of all): what the choice between graph and exact is made by."""
    of_project = func.sum(DocumentChunking.chunk_count).filter(Project.name == bindparam("project"))
    return (
        select(func.coalesce(of_project, 0), func.coalesce(func.sum(DocumentChunking.chunk_count), 0))
        .join(Document, Document.id == DocumentChunking.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunking.chunking == space.chunking)
    )


def chunks_by_id() -> Select[Any]:
    """The chunks with these `ids`, with what a citation needs."""
    return (
        select(*CITED)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    )


def _texts_of_project(space: EmbeddingSpace) -> Select[Any]:
    return (
        select(DocumentChunk.id)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == space.chunking, Project.name == bindparam("project"))
    )


def _chunks_of(space: EmbeddingSpace, nearest: CTE) -> Select[Any]:
    """The chunks of the nearest texts, with what a citation needs; equal texts in a stable order."""
    return (
        select(nearest.c.distance, *CITED)
        .join(DocumentChunk, DocumentChunk.content_hash == nearest.c.content_hash)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == space.chunking)
        .order_by(nearest.c.distance, Project.name, Document.file_path, DocumentChunk.chunk_index)
        .limit(bindparam("k"))
    )

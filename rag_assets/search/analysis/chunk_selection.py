"""The chunks of a space that pass filters, their average vector, and the documents and chunks that a caller names."""

from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, func, select, true

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.spaces.partitions import partition
from rag_assets.documents.text import clean
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.projects.store import get_project
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.validation import format_value


def select_vectors(space: EmbeddingSpace, filters: Filters, *columns: Any) -> Select[Any]:
    """These columns of the space's chunks that pass the filters and have a vector; the last column is `embedding`."""
    table = partition(space.id)
    return (
        select(*columns, table.c.embedding)
        .select_from(DocumentChunk)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .join(table, and_(table.c.content_hash == DocumentChunk.content_hash, table.c.space_id == space.id))
        .where(DocumentChunk.chunking == space.chunking, *filters.conditions())
    )


def mean_vector(space: EmbeddingSpace, vectors: ColumnElement[Any]) -> ColumnElement[Any]:
    """The average; of length 1 for cosine, which compares directions and ignores lengths."""
    mean = func.avg(vectors, type_=VECTOR())
    return func.l2_normalize(mean, type_=VECTOR()) if space.distance == "cosine" else mean


def average_vector(
    connection: Connection, space: EmbeddingSpace, filters: Filters = NO_FILTERS, *, document_id: UUID | None = None
) -> str | None:
    """The mean vector of the chunks that pass the filters, or of one document's chunks, as pgvector writes it.

    A text counts once for each chunk with it. None where no chunk has a vector, and for cosine where the vectors cancel
    each other out. Raises UsageError for an unknown document or project.
    """
    check_projects(connection, filters)
    chosen = select_vectors(space, filters)
    if document_id is not None:
        if connection.scalar(select(Document.id).where(Document.id == document_id)) is None:
            raise NotFoundError(f"there is no document {document_id}: it was deleted since it was found; search again.")
        chosen = chosen.where(DocumentChunk.document_id == document_id)
    vectors = chosen.subquery()
    mean = select(mean_vector(space, vectors.c.embedding).label("mean")).subquery()
    has_direction = true() if space.distance != "cosine" else func.vector_norm(mean.c.mean) > 0
    return connection.scalar(select(cast(mean.c.mean, Text)).where(has_direction))


def check_projects(connection: Connection, filters: Filters) -> None:
    """Raises UsageError for an unknown project."""
    for name in filters.projects or ():
        get_project(connection, name)


def parse_chunk_id(value: object) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise UsageError(f"{format_value(value)} is not the id of a chunk; take the chunk_id of a hit.") from None


def parse_document_key(value: object) -> tuple[str, str]:
    """(project, file path)."""
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(one, str) for one in value):
        return value[0], value[1]
    raise UsageError(f"document is {format_value(value)}; give its project and its file path, as two texts.")


def find_document(connection: Connection, project: str, file_path: str) -> UUID:
    """The id of a document; raises UsageError where the project has none with this path."""
    owner = get_project(connection, clean(project))
    with_path = select(Document.id).where(Document.project_id == owner.id, Document.file_path == file_path)
    # PostgreSQL does not even accept characters that no stored path has.
    document_id = connection.scalar(with_path) if clean(file_path) == file_path else None
    if document_id is None:
        raise NotFoundError(
            f"project {project!r} has no document {file_path!r}; write its path as `rag-assets search` shows it."
        )
    return document_id

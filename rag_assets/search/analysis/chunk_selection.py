"""The chunks that filters leave in a space, with their vectors: what similar chunks and averages are taken from."""

from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, func, select, true

from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project
from rag_assets.db.spaces.partitions import partition
from rag_assets.documents.text import clean
from rag_assets.errors import UsageError
from rag_assets.projects.store import get_project
from rag_assets.search.filters.document_filters import NO_FILTERS, Filters
from rag_assets.validation import format_value


def chosen_chunks(space: EmbeddingSpace, filters: Filters, *columns: Any) -> Select[Any]:
    """These columns of the space's chunks whose documents pass the filters."""
    return (
        select(*columns)
        .select_from(DocumentChunk)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunk.chunking == space.chunking, *filters.conditions())
    )


def chosen_vectors(space: EmbeddingSpace, filters: Filters, *columns: Any) -> Select[Any]:
    """The same of the chunks that have a vector, with it as the last column, `embedding`."""
    table = partition(space.id)
    chosen = chosen_chunks(space, filters, *columns, table.c.embedding)
    return chosen.join(table, and_(table.c.content_hash == DocumentChunk.content_hash, table.c.space_id == space.id))


def mean_vector(space: EmbeddingSpace, vectors: ColumnElement[Any]) -> ColumnElement[Any]:
    """Their average; of length 1 where directions are compared, for there the length of an average means nothing."""
    mean = func.avg(vectors, type_=VECTOR())
    return func.l2_normalize(mean, type_=VECTOR()) if space.distance == "cosine" else mean


def average(
    connection: Connection, space: EmbeddingSpace, filters: Filters = NO_FILTERS, *, document_id: UUID | None = None
) -> str | None:
    """The mean vector of the chunks that filters leave, or of one document's, as pgvector writes it.

    A text counts as often as there are chunks of it. None where no chunk has a vector, and where directions are
    compared and the vectors cancel each other out. Raises UsageError for an id that no document has.
    """
    check_projects(connection, filters)
    chosen = chosen_vectors(space, filters)
    if document_id is not None:
        if connection.scalar(select(Document.id).where(Document.id == document_id)) is None:
            raise UsageError(f"there is no document {document_id}: it was deleted since it was found; search again.")
        chosen = chosen.where(DocumentChunk.document_id == document_id)
    vectors = chosen.subquery()
    mean = select(mean_vector(space, vectors.c.embedding).label("mean")).subquery()
    points_somewhere = true() if space.distance != "cosine" else func.vector_norm(mean.c.mean) > 0
    return connection.scalar(select(cast(mean.c.mean, Text)).where(points_somewhere))


def check_projects(connection: Connection, filters: Filters) -> None:
    """Raises UsageError for a project that there is not."""
    for name in [filters.projects] if isinstance(filters.projects, str) else filters.projects:
        get_project(connection, name)


def as_id(value: object) -> UUID:
    """The id, also of one that is written; raises UsageError for what is none."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise UsageError(f"{format_value(value)} is no id of a chunk; take the chunk_id of a hit.") from None


def as_pair(value: object) -> tuple[str, str]:
    """(project, file path); raises UsageError for what is no such pair."""
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(one, str) for one in value):
        return value[0], value[1]
    raise UsageError(f"document is {format_value(value)}; give its project and its file path, as two texts.")


def find_document(connection: Connection, project: str, file_path: str) -> UUID:
    """The id of a document; raises UsageError when the project has none of this path."""
    owner = get_project(connection, clean(project))
    of_path = select(Document.id).where(Document.project_id == owner.id, Document.file_path == file_path)
    # What no stored path has cannot be asked for either.
    found = connection.scalar(of_path) if clean(file_path) == file_path else None
    if found is None:
        raise UsageError(
            f"project {project!r} has no document {file_path!r}; write its path as `rag-assets search` shows it."
        )
    return found

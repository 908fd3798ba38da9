"""A sample query for a project, derived from its documents."""

from typing import Any

from sqlalchemy import Engine, Select, func, select

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.documents.sources import TOPICS_URI

TOPICS_QUERY = "What is a context manager for?"


def sample_query(engine: Engine, project: str) -> str | None:
    """A query from a heading, a title or a text; the same as long as the documents are. None without text."""
    with engine.connect() as connection:
        uri = connection.scalar(select(Project.source_uri).where(Project.name == project))
        if uri == TOPICS_URI:
            return TOPICS_QUERY
        path = DocumentChunk.heading_path
        heading = connection.scalar(
            _first_chunk(project, path[func.cardinality(path)]).where(func.cardinality(path) > 0)
        )
        subject = heading or connection.scalar(_first_chunk(project, Document.title).where(Document.title.is_not(None)))
        if subject:
            return f"What is said about {subject}?"
        text = connection.scalar(_first_chunk(project, func.left(DocumentChunk.chunk_text, 80)))
    return " ".join(text.split()) if text else None


def _first_chunk(project: str, column: Any) -> Select[Any]:
    """SELECT of this column of the project's chunk with the lowest hash."""
    return (
        select(column)
        .select_from(DocumentChunk)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(Project.name == project)
        .order_by(DocumentChunk.content_hash)
        .limit(1)
    )

"""A question for a first look: what a reader of these very documents might ask."""

from typing import Any

from sqlalchemy import Engine, Select, func, select

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.documents.sources import TOPICS_URI

TOPICS_QUERY = "What is a context manager for?"


def sample_query(engine: Engine, project: str) -> str | None:
    """The same question as long as the documents are the same; None for a project without text."""
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
    """This column of one chunk of the project; of the same one until the documents change."""
    return (
        select(column)
        .select_from(DocumentChunk)
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(Project.name == project)
        .order_by(DocumentChunk.content_hash)
        .limit(1)
    )

"""A question for a first look: what a reader of these very documents might ask."""

from sqlalchemy import Engine, func, select

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.sources import TOPICS_URI

TOPICS_QUESTION = "How do I make sure that a file is closed when an exception is raised?"


def sample_question(engine: Engine, project: str) -> str | None:
    """The same question as long as the documents are the same; None for a project without text."""
    with engine.connect() as connection:
        uri = connection.scalar(select(Project.source_uri).where(Project.name == project))
        if uri == TOPICS_URI:
            return TOPICS_QUESTION
        subject = (
            select(
                func.coalesce(DocumentChunk.heading_path[func.cardinality(DocumentChunk.heading_path)], Document.title)
            )
            .join(Document, Document.id == DocumentChunk.document_id)
            .join(Project, Project.id == Document.project_id)
            .where(Project.name == project)
        )
        named = subject.where(func.cardinality(DocumentChunk.heading_path) > 0)
        heading = connection.scalar(named.order_by(DocumentChunk.content_hash).limit(1))
        title = heading or connection.scalar(
            subject.where(Document.title.is_not(None)).order_by(DocumentChunk.content_hash).limit(1)
        )
        if title:
            return f"What is said about {title}?"
        text = connection.scalar(
            select(func.left(DocumentChunk.chunk_text, 80))
            .join(Document, Document.id == DocumentChunk.document_id)
            .join(Project, Project.id == Document.project_id)
            .where(Project.name == project)
            .order_by(DocumentChunk.content_hash)
            .limit(1)
        )
    return " ".join(text.split()) if text else None

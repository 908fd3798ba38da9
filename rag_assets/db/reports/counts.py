"""Counts of the stored rows of a project."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from rag_assets.db.models import Document, DocumentChunk, Embedding, Project
from rag_assets.db.spaces.pending import pending_documents
from rag_assets.db.spaces.spaces import select_serving_space


@dataclass(frozen=True, slots=True)
class ProjectCounts:
    """`texts` is the number of distinct chunk texts, `vectors` how many of these have a vector in the space `space`."""

    documents: int
    failed: int
    chunks: int
    texts: int
    vectors: int
    documents_to_chunk: int
    space: int | None


def count_project(connection: Connection, project: str) -> ProjectCounts:
    with Session(bind=connection, expire_on_commit=False) as session:
        space = session.scalar(select_serving_space())
    id_, documents, failed = connection.execute(
        select(Project.id, func.count(Document.id), func.count().filter(Document.status == "failed"))
        .outerjoin(Document, Document.project_id == Project.id)
        .where(Project.name == project)
        .group_by(Project.id)
    ).one()
    chunks = texts = vectors = 0
    if space is not None:
        chunks, texts, vectors = connection.execute(
            select(
                func.count(DocumentChunk.id),
                func.count(DocumentChunk.content_hash.distinct()),
                func.count(Embedding.content_hash.distinct()),
            )
            .join(Document, Document.id == DocumentChunk.document_id)
            .outerjoin(
                Embedding,
                (Embedding.space_id == space.id) & (Embedding.content_hash == DocumentChunk.content_hash),
            )
            .where(Document.project_id == id_, DocumentChunk.chunking == space.chunking)
        ).one()
    to_chunk = documents - failed
    if space is not None:
        pending = pending_documents(id_, space.chunking).subquery()
        to_chunk = connection.scalar(select(func.count()).select_from(pending)) or 0
    return ProjectCounts(documents, failed, chunks, texts, vectors, to_chunk, space.id if space else None)

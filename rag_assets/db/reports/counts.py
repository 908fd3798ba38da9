"""Counts of the stored rows of a project."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from rag_assets.db.models import Document, DocumentChunk, Embedding, Project
from rag_assets.db.spaces.pending import (
    count_pending_texts,
    pending_documents,
    pending_staged_documents,
    staged_document_ids,
)
from rag_assets.db.spaces.spaces import select_serving_space


@dataclass(frozen=True, slots=True)
class ProjectCounts:
    """`texts` is the number of distinct chunk texts, `vectors` how many of these have a vector in the space `space`.

    `documents_waiting` have a text or chunks that replace those in searches once the `texts_to_embed` have vectors.
    """

    documents: int
    failed: int
    chunks: int
    texts: int
    vectors: int
    documents_to_chunk: int
    texts_to_embed: int
    documents_waiting: int
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
    to_chunk, to_embed = documents - failed, texts - vectors
    waiting = connection.scalar(select(func.count()).select_from(staged_document_ids(id_).subquery())) or 0
    if space is not None:
        to_chunk = sum(
            connection.scalar(select(func.count()).select_from(pending(id_, space.chunking).subquery())) or 0
            for pending in (pending_documents, pending_staged_documents)
        )
        if waiting:
            to_embed = connection.scalar(count_pending_texts(space, id_)) or 0
    return ProjectCounts(
        documents, failed, chunks, texts, vectors, to_chunk, to_embed, waiting, space.id if space else None
    )

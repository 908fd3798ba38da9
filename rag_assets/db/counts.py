"""Counts of what is stored, for reports: of one project, and of everything."""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from rag_assets.db.models import Document, DocumentChunk, Embedding, EmbeddingSpace, Project


@dataclass(frozen=True, slots=True)
class Counts:
    """`texts` are distinct chunk texts, `vectors` those of them that have one; both of the space in `space`."""

    documents: int
    failed: int
    chunks: int
    texts: int
    vectors: int
    documents_to_chunk: int
    space: int | None


def serving_space(engine: Engine) -> EmbeddingSpace | None:
    """The live space, or the newest one before any is live."""
    from sqlalchemy.orm import Session

    with Session(engine, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace)
            .where(EmbeddingSpace.kind == "chunks", EmbeddingSpace.status != "retired")
            .order_by((EmbeddingSpace.status == "live").desc(), EmbeddingSpace.id.desc())
            .limit(1)
        )


def project_counts(engine: Engine, project: str) -> Counts:
    """What is stored of one project."""
    from rag_assets.stages.chunks import pending_documents

    space = serving_space(engine)
    with engine.connect() as connection:
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
    to_chunk = len(pending_documents(engine, id_, space.chunking)) if space else documents - failed
    return Counts(documents, failed, chunks, texts, vectors, to_chunk, space.id if space else None)

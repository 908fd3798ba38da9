"""The texts that a model refused, named by where they stand: their words are nobody else's business."""

from sqlalchemy import Connection, select

from rag_assets.db.models import Document, DocumentChunk, EmbeddingFailure, EmbeddingSpace, Project
from rag_assets.db.spaces.pending import has_text_in_use
from rag_assets.db.spaces.text_kinds import SINGULAR, text_source


def find_texts_set_aside(connection: Connection, space: EmbeddingSpace, *, limit: int) -> list[str]:
    """One sentence for each: where a text in use stands that has no vector, and why."""
    failures = (
        select(EmbeddingFailure.content_hash, EmbeddingFailure.error)
        .where(EmbeddingFailure.space_id == space.id)
        .where(has_text_in_use(space, EmbeddingFailure.content_hash))
        .limit(limit)
    )
    found = connection.execute(failures).all()
    return [f"{_place(connection, space, content_hash)}: {error}" for content_hash, error in found]


def _place(connection: Connection, space: EmbeddingSpace, content_hash: bytes) -> str:
    if space.kind == "chunks":
        statement = (
            select(Project.name, Document.file_path, DocumentChunk.chunk_index)
            .join_from(DocumentChunk, Document)
            .join(Project, Project.id == Document.project_id)
            .where(DocumentChunk.content_hash == content_hash, DocumentChunk.chunking == space.chunking)
            .order_by(Project.name, Document.file_path, DocumentChunk.chunk_index)
        )
        if (chunk := connection.execute(statement.limit(1)).first()) is not None:
            return f"{chunk[0]}/{chunk[1]} chunk {chunk[2]}"
    else:
        texts = text_source(space)
        if (key := getattr(texts.table, "id", None)) is not None:
            row = connection.scalar(select(key).where(texts.content_hash == content_hash, texts.in_use).limit(1))
            if row is not None:
                return f"{SINGULAR.get(space.kind, space.kind)} {row}"
    return f"the text with the hash {content_hash.hex()[:16]}"

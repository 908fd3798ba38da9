"""Documents whose letters the tokenizer of an embedding model mostly does not know."""

from typing import Final

from sqlalchemy import Select, select

from rag_assets.db.models import Document, DocumentChunking, EmbeddingSpace, Project

# Of Chinese and Japanese, an English model knows a third to a half of the letters, but no words.
MOST_UNKNOWN_SHARE: Final = 0.4
ADVICE: Final = (
    "take a multilingual model, such as intfloat/multilingual-e5-small, or one of that language, by RAG_ASSETS_MODEL"
)


def unknown_alphabets(chunking: str) -> Select[str, str, float | None]:
    """The project, path and share of the documents that were split by this chunking, the largest share first."""
    return (
        select(Project.name, Document.file_path, DocumentChunking.unknown_share)
        .join(Document, Document.id == DocumentChunking.document_id)
        .join(Project, Project.id == Document.project_id)
        .where(DocumentChunking.chunking == chunking, DocumentChunking.unknown_share > MOST_UNKNOWN_SHARE)
        .order_by(DocumentChunking.unknown_share.desc(), Project.name, Document.file_path)
    )


def searched_unknown_alphabets() -> Select[str, str, float | None, str]:
    """The same for the live spaces, with the model of each."""
    return (
        select(Project.name, Document.file_path, DocumentChunking.unknown_share, EmbeddingSpace.model)
        .join(Document, Document.id == DocumentChunking.document_id)
        .join(Project, Project.id == Document.project_id)
        .join(EmbeddingSpace, EmbeddingSpace.chunking == DocumentChunking.chunking)
        .where(
            EmbeddingSpace.status == "live",
            EmbeddingSpace.kind == "chunks",
            DocumentChunking.unknown_share > MOST_UNKNOWN_SHARE,
        )
        .order_by(Project.name, Document.file_path)
    )

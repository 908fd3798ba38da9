"""The tables, one module a noun."""

from rag_assets.db.models.base import SCHEMA, Base
from rag_assets.db.models.chunks import DocumentChunk, DocumentChunking
from rag_assets.db.models.documents import Document
from rag_assets.db.models.embeddings import Embedding, EmbeddingFailure, EmbeddingSpace, QueryVector
from rag_assets.db.models.projects import Project
from rag_assets.db.models.words import Lexeme, WordStatistics

__all__ = [
    "SCHEMA",
    "Base",
    "Document",
    "DocumentChunk",
    "DocumentChunking",
    "Embedding",
    "EmbeddingFailure",
    "EmbeddingSpace",
    "Lexeme",
    "Project",
    "QueryVector",
    "WordStatistics",
]

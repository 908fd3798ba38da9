"""The tables of the schema `rag`, one module for each subject."""

from rag_assets.db.models.application.conversations import Conversation, ConversationMessage
from rag_assets.db.models.application.memories import Memory
from rag_assets.db.models.application.specializations import Adapter, Specialization
from rag_assets.db.models.application.users import ApiKey, ApiKeyProject, User, UserSession, ViewerKey
from rag_assets.db.models.audit import AuditEntry
from rag_assets.db.models.base import SCHEMA, Base
from rag_assets.db.models.check_progress import CheckWatermark, RowChange
from rag_assets.db.models.chunks import DocumentChunk, DocumentChunking, StagedChunk, StagedChunking
from rag_assets.db.models.costs import EmbeddingCost
from rag_assets.db.models.documents import Document, StagedDocument
from rag_assets.db.models.embeddings import (
    Embedding,
    EmbeddingClaim,
    EmbeddingFailure,
    EmbeddingSpace,
    QueryVector,
    RemoteBatch,
    RemoteBatchText,
)
from rag_assets.db.models.lexemes import Lexeme, WordStatistics
from rag_assets.db.models.projects import (
    ListedFile,
    ListingPart,
    Project,
    ProjectFailure,
    ShardRefresh,
    SourceListing,
)
from rag_assets.db.models.throughput import WorkRate

# The tables of this package. Other packages can add theirs to the same metadata.
OWN_TABLES = frozenset(Base.metadata.tables)

__all__ = [
    "OWN_TABLES",
    "SCHEMA",
    "Adapter",
    "ApiKey",
    "ApiKeyProject",
    "AuditEntry",
    "Base",
    "CheckWatermark",
    "Conversation",
    "ConversationMessage",
    "Document",
    "DocumentChunk",
    "DocumentChunking",
    "Embedding",
    "EmbeddingClaim",
    "EmbeddingCost",
    "EmbeddingFailure",
    "EmbeddingSpace",
    "Lexeme",
    "ListedFile",
    "ListingPart",
    "Memory",
    "Project",
    "ProjectFailure",
    "QueryVector",
    "RemoteBatch",
    "RemoteBatchText",
    "RowChange",
    "ShardRefresh",
    "SourceListing",
    "Specialization",
    "StagedChunk",
    "StagedChunking",
    "StagedDocument",
    "User",
    "UserSession",
    "ViewerKey",
    "WordStatistics",
    "WorkRate",
]

"""Embedding spaces, and the vectors in them, addressed by the hash of the text that they were made of."""

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Identity, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Json, Number, Timestamped

# Candidates that a search looks at in a space that nobody has tuned. Measured by tests.benchmarks.search over 100,000
# vectors in clusters: 120 hold 0.967 of the ten nearest.
EF_SEARCH = 200
# Signs tell less. Measured by tests.benchmarks.storage over 100,000 vectors: 120 candidates hold 0.89 of the ten
# nearest, 400 hold 0.94, 800 hold 0.97; eight times as many as wanted hold 0.89 of the hundred nearest, sixteen 0.96.
EF_SEARCH_OF_SIGNS = 800
OVERSAMPLING = 16


class EmbeddingSpace(Timestamped, Base):
    """One way to turn texts into searchable vectors; searches use the one with status `live`.

    `building` comes before it; `previous` is the one that served last, kept for a rollback; `retired` is to be dropped.
    """

    __tablename__ = "embedding_spaces"
    __table_args__ = (
        CheckConstraint("kind IN ('chunks', 'messages', 'memories')", name="kind_known"),
        CheckConstraint("status IN ('building', 'live', 'previous', 'retired')", name="status_known"),
        CheckConstraint("distance IN ('cosine', 'l2', 'ip')", name="distance_known"),
        CheckConstraint("method IN ('hnsw', 'ivfflat')", name="method_known"),
        CheckConstraint("storage IN ('vector', 'halfvec', 'bit')", name="storage_known"),
        CheckConstraint("dimensions BETWEEN 1 AND 16000", name="dimensions_indexable"),
        Index("uq_embedding_spaces_live", "kind", unique=True, postgresql_where=text("status = 'live'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(unique=True)
    chunking: Mapped[str]
    chunking_settings: Mapped[Json]
    model: Mapped[str]
    revision: Mapped[str]
    dimensions: Mapped[int]
    max_tokens: Mapped[int]
    prompts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    normalize: Mapped[bool]
    distance: Mapped[str]
    method: Mapped[str] = mapped_column(server_default="hnsw")
    storage: Mapped[str]
    m: Mapped[int]
    ef_construction: Mapped[int]
    ef_search: Mapped[int] = mapped_column(server_default=text(str(EF_SEARCH)))
    oversampling: Mapped[int] = mapped_column(server_default=text(str(OVERSAMPLING)))
    # What `rag-assets tune` measured: the curve of recall against latency that ef_search was chosen from.
    tuning: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(server_default="building")
    promoted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    stepped_back_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Until it is promoted by hand, or the settings ask for another one, this space does not take over by itself.
    rolled_back_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Embedding(Base):
    """Narrow on purpose: changing another column of a row under HNSW costs a hundred times the change."""

    __tablename__ = "embeddings"
    __table_args__ = ({"postgresql_partition_by": "LIST (space_id)"},)

    space_id: Mapped[int] = mapped_column(
        ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"),
        primary_key=True,
        doc="The embedding space: model, dimensions and index of the vector.",
    )
    content_hash: Mapped[bytes] = mapped_column(
        LargeBinary, primary_key=True, doc="SHA-256 of the text, 32 bytes; whatever has this text points here by it."
    )
    embedding: Mapped[Any] = mapped_column(
        VECTOR(), nullable=False, doc="The vector, with as many dimensions as its space has."
    )
    checksum: Mapped[Number | None] = mapped_column(
        doc="The checksum of the stored vector (db/spaces/checksums.py); NULL for rows older than that."
    )


class EmbeddingFailure(Timestamped, Base):
    """A text that the model could not embed, set aside with the reason; every run tries it again."""

    __tablename__ = "embedding_failures"

    space_id: Mapped[int] = mapped_column(ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    error: Mapped[str]


class QueryVector(Base):
    """The vector of a question asked before; only the question's hash is kept, never its words."""

    __tablename__ = "query_vectors"

    space_id: Mapped[int] = mapped_column(ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"), primary_key=True)
    query_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    embedding: Mapped[Any] = mapped_column(VECTOR(), nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

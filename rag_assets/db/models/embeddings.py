"""Embedding spaces, and their vectors, addressed by the hash of the text that they were made from."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Identity, Index, LargeBinary, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, BigInt, Float8, Json, Timestamped

# Candidates of a search in a space that was not tuned. Measured by tests.benchmarks.search over 100,000 vectors in
# clusters: 120 candidates hold 0.967 of the ten nearest.
DEFAULT_EF_SEARCH = 200
# Binary quantization needs more. Measured by tests.benchmarks.storage over 100,000 vectors: 120 candidates hold 0.89 of
# the ten nearest, 400 hold 0.94, 800 hold 0.97; 8 times k candidates hold 0.89 of the hundred nearest, 16 times 0.96.
DEFAULT_EF_SEARCH_BIT = 800
DEFAULT_OVERSAMPLING = 16


class EmbeddingSpace(Timestamped, Base):
    """One way to turn texts into searchable vectors: a kind of text, a model, and the parameters of an index.

    `status` is `building` until the space is promoted, `live` for the one that searches use, `previous` for the one
    that was live before it and is kept for a rollback, `retired` for one that will be dropped.
    """

    __tablename__ = "embedding_spaces"
    __table_args__ = (
        CheckConstraint("kind ~ '^[a-z][a-z0-9_]{0,39}$'", name="kind_is_name"),
        CheckConstraint("status IN ('building', 'live', 'previous', 'retired')", name="status_known"),
        CheckConstraint("distance IN ('cosine', 'l2', 'ip')", name="distance_known"),
        CheckConstraint("method IN ('hnsw', 'ivfflat')", name="method_known"),
        CheckConstraint("storage IN ('vector', 'halfvec', 'bit')", name="storage_known"),
        CheckConstraint("parts BETWEEN 1 AND 64", name="parts_in_range"),
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
    parts: Mapped[int] = mapped_column(server_default=text("1"))
    m: Mapped[int]
    ef_construction: Mapped[int]
    ef_search: Mapped[int] = mapped_column(server_default=text(str(DEFAULT_EF_SEARCH)))
    oversampling: Mapped[int] = mapped_column(server_default=text(str(DEFAULT_OVERSAMPLING)))
    # Recall against latency as measured by `rag-assets tune`, which chose ef_search from it.
    tuning: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(server_default="building")
    promoted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    stepped_back_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Set by a rollback. The space is not promoted automatically until somebody promotes it, or the settings change.
    rolled_back_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Embedding(Base):
    """Narrow on purpose: an UPDATE of any other column of a row under HNSW costs a hundred times as much."""

    __tablename__ = "embeddings"
    __table_args__ = ({"postgresql_partition_by": "LIST (space_id)"},)

    space_id: Mapped[int] = mapped_column(
        ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"),
        primary_key=True,
        doc="The embedding space: model, dimensions and index of the vector.",
    )
    content_hash: Mapped[bytes] = mapped_column(
        LargeBinary,
        primary_key=True,
        doc="SHA-256 of the text, 32 bytes; all rows with this text refer to the vector by it.",
    )
    embedding: Mapped[Any] = mapped_column(
        VECTOR(), nullable=False, doc="The vector, with the dimensions of its space."
    )
    checksum: Mapped[Float8 | None] = mapped_column(
        doc="Checksum of the stored vector (db/spaces/checksums.py); NULL in rows written before checksums existed."
    )


class EmbeddingFailure(Timestamped, Base):
    """A text that the model could not embed, with the reason; every run tries it again."""

    __tablename__ = "embedding_failures"

    space_id: Mapped[int] = mapped_column(ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"), primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    error: Mapped[str]


class EmbeddingClaim(Base):
    """A text that a process embeds now. Not logged: a crash of the server ends all claims."""

    __tablename__ = "embedding_claims"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    space_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    owner: Mapped[BigInt] = mapped_column(doc="The advisory lock of the owner; without it, the claim is void.")


class RemoteBatch(Base):
    """Texts that were sent to the batch interface of an embedding server, in one file.

    `submitting` until the server has accepted it, `submitted` while it works, `fetched` once its vectors are stored;
    `failed` and `expired` ones have freed the texts that they brought no vectors for.
    """

    __tablename__ = "remote_batches"
    __table_args__ = (
        CheckConstraint("status IN ('submitting', 'submitted', 'fetched', 'failed', 'expired')", name="status_known"),
    )

    id: Mapped[UUID] = mapped_column(
        Uuid, primary_key=True, doc="Stands in the metadata of the batch at the server, and in the name of its file."
    )
    space_id: Mapped[int] = mapped_column(ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(server_default="submitting")
    owner: Mapped[BigInt] = mapped_column(doc="The advisory lock of the process that submits it.")
    key: Mapped[str] = mapped_column(doc="The project, or shard of one, whose run has submitted it.")
    server: Mapped[str] = mapped_column(doc="A hash of the server's address.")
    file_id: Mapped[str | None] = mapped_column(doc="The server's name of the file with the texts.")
    remote_id: Mapped[str | None] = mapped_column(doc="The server's name of the batch.")
    texts: Mapped[int] = mapped_column(server_default=text("0"))
    tokens: Mapped[BigInt] = mapped_column(server_default=text("0"))
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    submitted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class RemoteBatchText(Base):
    """A text that waits in a batch; the key allows only one batch of a space to have it."""

    __tablename__ = "remote_batch_texts"

    space_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    batch_id: Mapped[UUID] = mapped_column(ForeignKey("rag.remote_batches.id", ondelete="CASCADE"), index=True)


class QueryVector(Base):
    """The vector of an earlier query; only the hash of the query is stored, never its words."""

    __tablename__ = "query_vectors"

    space_id: Mapped[int] = mapped_column(ForeignKey("rag.embedding_spaces.id", ondelete="CASCADE"), primary_key=True)
    query_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    embedding: Mapped[Any] = mapped_column(VECTOR(), nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

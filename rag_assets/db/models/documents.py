"""The ledger of documents: what was read, from which version of the source, by which reader."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Bigint, Identified, Json, Timestamped


class Document(Identified, Timestamped, Base):
    """`content` is NULL only while the document has never been read; a later failure keeps what was known."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("project_id", "file_path"),
        CheckConstraint("status IN ('ok', 'failed')", name="status_known"),
        CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
        CheckConstraint("(content IS NULL) = (content_hash IS NULL)", name="content_has_hash"),
        Index("ix_documents_file_type", "file_type"),
        Index("ix_documents_created_at", "created_at"),
        Index("ix_documents_updated_at", "updated_at"),
        Index(
            "ix_documents_metadata",
            "metadata",
            postgresql_using="gin",
            postgresql_ops={"metadata": "jsonb_path_ops"},
        ),
        Index("ix_documents_failed", "project_id", postgresql_where=text("status = 'failed'")),
    )

    project_id: Mapped[UUID] = mapped_column(ForeignKey("rag.projects.id", ondelete="CASCADE"))
    file_path: Mapped[str]
    title: Mapped[str | None]
    content: Mapped[str | None]
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    file_type: Mapped[str]
    size_bytes: Mapped[Bigint | None]
    hash: Mapped[str | None]
    source_version: Mapped[str | None]
    reader: Mapped[str | None]
    doc_metadata: Mapped[Json] = mapped_column("metadata")
    status: Mapped[str] = mapped_column(server_default="ok")
    error: Mapped[str | None]
    run_id: Mapped[str | None]

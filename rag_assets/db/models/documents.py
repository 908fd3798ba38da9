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

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("rag.projects.id", ondelete="CASCADE"), doc="The project whose source lists it."
    )
    file_path: Mapped[str] = mapped_column(doc="Where it is below the source; with the project, what it is known by.")
    title: Mapped[str | None] = mapped_column(doc="Its title, where it says one.")
    content: Mapped[str | None] = mapped_column(doc="Its whole text; NULL only while it was never read.")
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary, doc="SHA-256 of `content`, 32 bytes.")
    file_type: Mapped[str] = mapped_column(doc="What it was read as, like markdown, pdf or code.")
    size_bytes: Mapped[Bigint | None] = mapped_column(doc="Size of the file, in bytes.")
    hash: Mapped[str | None] = mapped_column(
        doc="SHA-256 of the file's bytes, hexadecimal; the same is not parsed again."
    )
    source_version: Mapped[str | None] = mapped_column(
        doc="The source's etag, or time and size; while it stays, the file is not even opened."
    )
    reader: Mapped[str | None] = mapped_column(doc="The reader's version; a newer one reads the file again.")
    doc_metadata: Mapped[Json] = mapped_column(
        "metadata", doc="What else the file says of itself; searches filter by it."
    )
    status: Mapped[str] = mapped_column(server_default="ok", doc="`ok`, or `failed`, when it could not be read last.")
    error: Mapped[str | None] = mapped_column(doc="Why it could not be read last.")
    run_id: Mapped[str | None] = mapped_column(doc="The Dagster run that wrote the row last.")

"""The documents: what was read, from which version of the source, by which reader; and their next versions."""

from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, BigInt, Identified, Json, Timestamped


class DocumentVersion:
    """What reading a document found: of the version that serves (`documents`), or of the next one."""

    title: Mapped[str | None] = mapped_column(sort_order=1, doc="The title, if the document has one.")
    file_type: Mapped[str] = mapped_column(
        sort_order=4, doc="The type that it was read as, for example markdown, pdf or code."
    )
    size_bytes: Mapped[BigInt | None] = mapped_column(sort_order=5, doc="Size of the file, in bytes.")
    hash: Mapped[str | None] = mapped_column(
        sort_order=6, doc="SHA-256 of the file's bytes, hexadecimal; a file with the same hash is not parsed again."
    )
    source_version: Mapped[str | None] = mapped_column(
        sort_order=7, doc="The source's etag, or time and size; a file with the same version is not opened."
    )
    reader: Mapped[str | None] = mapped_column(
        sort_order=8, doc="Version of the reader; another version reads the file again."
    )
    doc_metadata: Mapped[Json] = mapped_column(
        "metadata", sort_order=9, doc="Further metadata of the file; searches can filter by it."
    )
    parse_report: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB,
        sort_order=10,
        doc="What reading found out: where pages begin, characters replaced, pages recognised, notes.",
    )
    run_id: Mapped[str | None] = mapped_column(sort_order=13, doc="The Dagster run that last wrote the row.")


class Document(Identified, DocumentVersion, Timestamped, Base):
    """The version that serves. `content` is NULL until the first reading; a later failure keeps the old content."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("project_id", "file_path"),
        CheckConstraint("status IN ('ok', 'failed')", name="status_known"),
        CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
        CheckConstraint("readers_error IS NULL OR readers = '{}'", name="readers_error_is_nobody"),
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
        Index("ix_documents_readers", "readers", postgresql_using="gin"),
        Index("ix_documents_restricted", "project_id", postgresql_where=text("readers IS NOT NULL")),
        Index("ix_documents_unrestricted", "project_id", postgresql_where=text("readers IS NULL")),
        Index("ix_documents_readers_error", "project_id", postgresql_where=text("readers_error IS NOT NULL")),
        Index("ix_documents_failed", "project_id", postgresql_where=text("status = 'failed'")),
    )

    project_id: Mapped[UUID] = mapped_column(
        ForeignKey("rag.projects.id", ondelete="CASCADE"), doc="The project whose source lists the document."
    )
    file_path: Mapped[str] = mapped_column(doc="Path below the source; identifies the document within its project.")
    content: Mapped[str | None] = mapped_column(
        sort_order=2, doc="The whole text; NULL until the document is read for the first time."
    )
    content_hash: Mapped[bytes | None] = mapped_column(LargeBinary, sort_order=3, doc="SHA-256 of `content`, 32 bytes.")
    status: Mapped[str] = mapped_column(
        sort_order=11, server_default="ok", doc="`ok`, or `failed` if the last attempt to read it failed."
    )
    error: Mapped[str | None] = mapped_column(sort_order=12, doc="Why the last attempt to read it failed.")
    readers: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text),
        sort_order=14,
        doc="Who may read it: `everyone`, `user:NAME`, `group:NAME`, `tenant:NAME`. Empty: nobody. NULL: undeclared.",
    )
    readers_error: Mapped[str | None] = mapped_column(
        sort_order=15, doc="Why the declaration of its readers could not be used; nobody may read it then."
    )


class StagedDocument(DocumentVersion, Timestamped, Base):
    """The next version of a document that has chunks in searches; it replaces them once its chunks have vectors."""

    __tablename__ = "staged_documents"

    id: Mapped[UUID] = mapped_column(
        ForeignKey("rag.documents.id", ondelete="CASCADE"), primary_key=True, sort_order=-1, doc="The document."
    )
    content: Mapped[str] = mapped_column(sort_order=2, doc="The whole text.")
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, sort_order=3, doc="SHA-256 of `content`, 32 bytes.")


def derive_document_id(project_id: UUID, file_path: str) -> UUID:
    return uuid5(project_id, file_path)

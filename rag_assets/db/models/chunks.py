"""Chunks of documents, kept per chunking, so that a new chunking is built while the old one serves."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base, Identified, Json, Timestamped


class DocumentChunk(Identified, Timestamped, Base):
    """`content[char_start:char_end] == chunk_text`, in Unicode code points, always."""

    __tablename__ = "document_chunks"
    __table_args__ = (
        # Deferrable: one UPDATE may shift the indexes of all chunks behind an inserted one.
        UniqueConstraint("document_id", "chunking", "chunk_index", deferrable=True),
        CheckConstraint("char_start >= 0 AND char_end > char_start", name="offsets_ordered"),
        CheckConstraint("octet_length(content_hash) = 32", name="content_hash_is_sha256"),
        Index("ix_document_chunks_content_hash", "content_hash", "chunking"),
        Index("ix_document_chunks_tsv", "tsv", postgresql_using="gin"),
    )

    document_id: Mapped[UUID] = mapped_column(
        ForeignKey("rag.documents.id", ondelete="CASCADE"), doc="The document that it is a piece of."
    )
    chunking: Mapped[str] = mapped_column(doc="Fingerprint of the splitter and its settings, 16 hexadecimal digits.")
    chunk_index: Mapped[int] = mapped_column(doc="Its place in the document, from 0.")
    chunk_text: Mapped[str] = mapped_column(doc="The text that is embedded and found.")
    content_hash: Mapped[bytes] = mapped_column(
        LargeBinary, doc="SHA-256 of `chunk_text`, 32 bytes; its vector is stored under it, once in a space."
    )
    char_start: Mapped[int] = mapped_column(doc="Where it begins in the document's `content`, in code points.")
    char_end: Mapped[int] = mapped_column(doc="Where it ends there: content[char_start:char_end] is the text.")
    token_count: Mapped[int] = mapped_column(doc="Its length in tokens of the embedding model.")
    heading_path: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=text("'{}'"), doc="The headings that it stands under, from the outermost in."
    )
    chunk_metadata: Mapped[Json] = mapped_column(
        "metadata", doc="What is known of this piece alone, beside what its document says."
    )
    language: Mapped[str] = mapped_column(
        REGCONFIG,
        server_default=text("'english'::regconfig"),
        doc="What its words are in, by the name of PostgreSQL's configuration of text search.",
    )
    tsv: Mapped[Any] = mapped_column(
        TSVECTOR,
        Computed("to_tsvector(language, rag.hyphenated(chunk_text))", persisted=True),
        nullable=False,
        doc="Its words, stemmed, for search by words; made by the database.",
    )


class DocumentChunking(Timestamped, Base):
    """The stamp: these chunks of this document were made, completely, of the text with this hash, in this language.

    The tokens are what the project itself asked for; NULL is what the chunking says.
    """

    __tablename__ = "document_chunkings"

    document_id: Mapped[UUID] = mapped_column(ForeignKey("rag.documents.id", ondelete="CASCADE"), primary_key=True)
    chunking: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    chunk_count: Mapped[int]
    language: Mapped[str] = mapped_column(REGCONFIG, server_default=text("'english'::regconfig"))
    chunk_tokens: Mapped[int | None]
    overlap_tokens: Mapped[int | None]
    run_id: Mapped[str | None]

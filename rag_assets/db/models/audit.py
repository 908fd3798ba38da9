"""The audit: who asked what kind of question when, and what came of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, REAL, DateTime, Index, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, mapped_column

from rag_assets.db.models.base import Base


class AuditEntry(Base):
    """A request that was answered or refused. Partitioned by the month in which it came."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_documents", "documents", postgresql_using="gin"),
        {"postgresql_partition_by": "RANGE (asked_at)"},
    )

    asked_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), primary_key=True, server_default=func.now(), doc="When the request came."
    )
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    via: Mapped[str] = mapped_column(doc="The way in: http, mcp or client.")
    operation: Mapped[str] = mapped_column(
        doc="What was asked for: search, similar, document, explain; `dropped`: `hits` entries were lost."
    )
    caller_id: Mapped[str] = mapped_column(doc="The id of the key, or `oidc:` and the subject of the token.")
    caller: Mapped[str] = mapped_column(doc="The name of the key, or of the user of the token.")
    user_name: Mapped[str | None] = mapped_column(doc="The user of the key or the token.")
    mode: Mapped[str | None] = mapped_column(doc="vector, text or hybrid.")
    projects: Mapped[list[str] | None] = mapped_column(ARRAY(Text), doc="The projects that were searched; NULL: all.")
    k: Mapped[int | None] = mapped_column(doc="Hits that were asked for.")
    hits: Mapped[int | None] = mapped_column(doc="Hits of the answer.")
    documents: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid), server_default=text("'{}'"), doc="The documents of the answer, in the order of their best hits."
    )
    duration_ms: Mapped[float] = mapped_column(REAL, doc="How long the answer took.")
    outcome: Mapped[str] = mapped_column(doc="`ok`, or the class of the error.")
    query: Mapped[str | None] = mapped_column(doc="The question; NULL unless RAG_ASSETS_AUDIT_QUERIES is set.")

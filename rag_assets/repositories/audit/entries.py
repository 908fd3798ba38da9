"""Rows of the audit: inserted into the partition of their month, listed, and deleted when they are too old."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import sql
from sqlalchemy import Connection, delete, func, insert, select, text

from rag_assets.db.models import SCHEMA, AuditEntry
from rag_assets.db.schema.ddl import execute_ddl

DROPPED = "dropped"
_PARTITIONS = text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = CAST('rag.audit_entries' AS regclass) ORDER BY c.relname"
)


@dataclass(slots=True)
class AuditedRequest:
    """A request of a caller, as `AuditEntry` has it."""

    via: str
    operation: str
    caller_id: str
    caller: str
    user_name: str | None = None
    mode: str | None = None
    projects: Sequence[str] | None = None
    k: int | None = None
    hits: int | None = None
    documents: Sequence[UUID] = ()
    duration_ms: float = 0.0
    outcome: str = "ok"
    query: str | None = None
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def write_entries(connection: Connection, requests: Sequence[AuditedRequest]) -> None:
    """Insert them, with the partitions of their months where these are missing."""
    for month in {(request.asked_at.year, request.asked_at.month) for request in requests}:
        _ensure_partition(connection, *month)
    connection.execute(insert(AuditEntry), [asdict(request) for request in requests])


def list_entries(connection: Connection, *, since: datetime | None = None, limit: int) -> list[dict[str, Any]]:
    """The newest entries, newest first."""
    statement = select(*AuditEntry.__table__.c).order_by(AuditEntry.asked_at.desc(), AuditEntry.id).limit(limit)
    if since is not None:
        statement = statement.where(AuditEntry.asked_at >= since)
    return [row._asdict() for row in connection.execute(statement)]


def delete_old_entries(connection: Connection, days: int) -> list[str]:
    """Drop the partitions of months that are older, and delete older entries of the rest; returns what was dropped."""
    end = datetime.now(UTC) - timedelta(days=days)
    first_kept = _partition_name(end.year, end.month)
    dropped = [name for name in connection.scalars(_PARTITIONS).all() if name < first_kept]
    for name in dropped:
        execute_ddl(connection, sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, name)))
    connection.execute(delete(AuditEntry).where(AuditEntry.asked_at < end))
    return dropped


def count_entries(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(AuditEntry)) or 0


def _ensure_partition(connection: Connection, year: int, month: int) -> None:
    name = _partition_name(year, month)
    if connection.scalar(select(func.to_regclass(f"{SCHEMA}.{name}"))) is not None:
        return
    # Two servers may need it at once.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('rag_assets.audit'))"))
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    execute_ddl(
        connection,
        sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(SCHEMA, name),
            sql.Identifier(SCHEMA, "audit_entries"),
            sql.Literal(start.isoformat()),
            sql.Literal(end.isoformat()),
        ),
    )


def _partition_name(year: int, month: int) -> str:
    return f"audit_entries_{year:04}{month:02}"

"""The state of an installation, read from its tables."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.orm import Session

from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.urls import format_url
from rag_assets.db.index.state import inspect_index
from rag_assets.db.models import Document, EmbeddingSpace, Project, RemoteBatchText
from rag_assets.db.reports.counts import count_project
from rag_assets.db.reports.document_remarks import find_remarks, undecoded_documents
from rag_assets.db.reports.remaining_work import remaining_work
from rag_assets.db.reports.remote_batches import list_batches
from rag_assets.db.reports.unknown_alphabets import searched_unknown_alphabets
from rag_assets.db.schema import migrations
from rag_assets.db.schema.extension import pgvector_version
from rag_assets.db.spaces.partitions import count_vectors, has_partition, partition_bytes
from rag_assets.db.spaces.pending import count_missing_texts, count_pending_texts, count_searched_texts
from rag_assets.db.spaces.spaces import select_serving_space
from rag_assets.db.spaces.text_kinds import Kind, is_known_kind, text_source_of_kind
from rag_assets.projects.store import project_names

MOST_FAILED_DOCUMENTS = 100
MOST_ENDED_BATCHES = 10


def read_status(engine: Engine) -> dict[str, Any]:
    """Everything that `rag-assets status --json` prints; an empty database has no projects and no spaces.

    `batches` is there once texts were sent to the batch interface of an embedding server.
    """
    revision = migrations.current_revision(engine)
    found: dict[str, Any] = {"database": _database(engine, revision)}
    found["pool"] = asdict(pool_statistics(engine))
    found["connections"] = _connections(engine)
    ready = revision == migrations.head_revision()
    names = _project_names(engine) if ready else []
    projects = [_project(engine, name) for name in names]
    found["projects"] = projects
    found["pending"] = {
        "documents_to_chunk": sum(project["documents_to_chunk"] for project in projects),
        "texts_to_embed": sum(project["texts_to_embed"] for project in projects),
        "messages_to_embed": _texts_to_embed(engine, "messages") if ready else 0,
        "memories_to_embed": _texts_to_embed(engine, "memories") if ready else 0,
    }
    batches = list_batches(engine, MOST_ENDED_BATCHES) if ready else []
    if batches:
        found["pending"]["texts_in_batches"] = _texts_in_batches(engine)
        found["batches"] = batches
    found["failed_documents"] = _failed_documents(engine) if ready else []
    found["undecoded_documents"] = _undecoded_documents(engine) if ready else []
    found["remarks"] = _remarks(engine) if ready else []
    found["unknown_alphabets"] = _unknown_alphabets(engine) if ready else []
    found["spaces"] = read_spaces(engine) if ready else []
    found["degraded"] = _degraded_spaces(engine) if ready else []
    return found


def _degraded_spaces(engine: Engine) -> list[dict[str, Any]]:
    """The live spaces that lack vectors of texts that searches should find in them."""
    with Session(engine) as session:
        live = session.scalars(
            select(EmbeddingSpace).where(EmbeddingSpace.status == "live").order_by(EmbeddingSpace.id)
        ).all()
        found = []
        for space in filter(_has_known_kind, live):
            texts = session.scalar(count_searched_texts(space)) or 0
            there = has_partition(session.connection(), space.id)
            missing = (session.scalar(count_missing_texts(space)) or 0) if there else texts
            if missing:
                found.append({"space": space.id, "texts": texts, "missing": missing})
        return found


def _has_known_kind(space: EmbeddingSpace) -> bool:
    """False for a space of a table that no installed package registers any more: its texts cannot be counted."""
    return is_known_kind(space.kind)


def _project_names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(project_names(connection))


def _database(engine: Engine, revision: str | None) -> dict[str, Any]:
    with engine.connect() as connection:
        return {
            "name": engine.url.database,
            "url": format_url(engine.url),
            "server": connection.scalar(text("SELECT current_setting('server_version')")),
            "pgvector": pgvector_version(connection),
            "schema_revision": revision,
            "schema_head": migrations.head_revision(),
            "bytes": connection.scalar(text("SELECT pg_database_size(current_database())")),
        }


def _connections(engine: Engine) -> dict[str, int]:
    """The connections of the server, of all its clients; states are counted as far as this role may see them."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT count(*) AS open, count(*) FILTER (WHERE state = 'active') AS active, "
                "count(*) FILTER (WHERE state = 'idle') AS idle, "
                "count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction, "
                "current_setting('max_connections')::int AS allowed "
                "FROM pg_stat_activity WHERE backend_type = 'client backend'"
            )
        ).one()
        return dict(row._mapping)


def _project(engine: Engine, name: str) -> dict[str, Any]:
    with engine.connect() as connection:
        counts = count_project(connection, name)
        source = connection.scalar(select(Project.source_uri).where(Project.name == name))
    return {
        "name": name,
        "source": source,
        "documents": counts.documents,
        "failed": counts.failed,
        "chunks": counts.chunks,
        "texts": counts.texts,
        "vectors": counts.vectors,
        "documents_to_chunk": counts.documents_to_chunk,
        "texts_to_embed": counts.texts_to_embed,
        "documents_waiting": counts.documents_waiting,
    }


def _texts_to_embed(engine: Engine, kind: Kind) -> int:
    """Distinct texts in use that have no vector in the live space, or in the newest one while none is live."""
    texts = text_source_of_kind(kind)
    with Session(engine) as session:
        space = session.scalar(select_serving_space(kind))
        if space is not None:
            return session.scalar(count_pending_texts(space)) or 0
        return session.scalar(select(func.count(texts.content_hash.distinct())).where(texts.in_use)) or 0


def _texts_in_batches(engine: Engine) -> int:
    """The texts of all spaces that wait at embedding servers."""
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(RemoteBatchText)) or 0


def _failed_documents(engine: Engine) -> list[dict[str, Any]]:
    statement = (
        select(Project.name.label("project"), Document.file_path, Document.error.label("reason"))
        .join(Project, Project.id == Document.project_id)
        .where(Document.status == "failed")
        .order_by(Project.name, Document.file_path)
        .limit(MOST_FAILED_DOCUMENTS)
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]


def _undecoded_documents(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(undecoded_documents().limit(MOST_FAILED_DOCUMENTS))
        return [dict(row) for row in rows.mappings()]


def _remarks(engine: Engine) -> list[dict[str, Any]]:
    """The documents that were not read as a whole, with the reasons and what to do."""
    with engine.connect() as connection:
        return [asdict(remark) for remark in find_remarks(connection, limit=MOST_FAILED_DOCUMENTS)]


def _unknown_alphabets(engine: Engine) -> list[dict[str, Any]]:
    """The documents in letters that the model of a live space mostly does not know."""
    with engine.connect() as connection:
        rows = connection.execute(searched_unknown_alphabets().limit(MOST_FAILED_DOCUMENTS)).all()
    names = ("project", "file_path", "unknown_share", "model")
    return [dict(zip(names, row, strict=True)) for row in rows]


def read_spaces(engine: Engine) -> list[dict[str, Any]]:
    """Every space: what it holds, the work left in it, and the seconds that this will take (None: unknown)."""
    with Session(engine) as session:
        found = session.scalars(select(EmbeddingSpace).order_by(EmbeddingSpace.id)).all()
        return [_space(session.connection(), space) for space in found]


def _space(connection: Connection, space: EmbeddingSpace) -> dict[str, Any]:
    there = has_partition(connection, space.id)
    left = remaining_work(connection, space) if there and _has_known_kind(space) else None
    vectors = count_vectors(connection, space)
    index = inspect_index(connection, space, rows=vectors)
    return {
        "id": space.id,
        "kind": space.kind,
        "status": space.status,
        "model": space.model,
        "revision": space.revision,
        "dimensions": space.dimensions,
        "method": space.method,
        "storage": space.storage,
        "distance": space.distance,
        "chunking": space.chunking,
        "vectors": vectors,
        "bytes": partition_bytes(connection, space.id, indexes=False),
        "index": index.name,
        "index_state": index.state.value,
        "index_bytes": index.bytes,
        "documents_left": left.documents if left else 0,
        "texts_left": left.texts if left else 0,
        "seconds_left": left.seconds if left else None,
        "stepped_back_at": space.stepped_back_at and space.stepped_back_at.isoformat(),
        "rolled_back_at": space.rolled_back_at and space.rolled_back_at.isoformat(),
    }

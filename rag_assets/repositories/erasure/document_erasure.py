"""Erase a document: its text and chunks in all tables, vectors that no other text has, and words that it alone has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, or_, select, text

from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document, Project
from rag_assets.db.spaces.text_kinds import ALL_CHUNKS
from rag_assets.documents.parsing.parse_report import ATTACHMENT_SEPARATOR
from rag_assets.errors import NotFoundError, UsageError
from rag_assets.projects.store import get_project
from rag_assets.repositories.erasure.traces import ErasureReport, Traces, bind_values, compare_counts, count_traces
from rag_assets.repositories.operations.documents import refuse_path, remove_documents

_OF_DOCUMENTS = {
    "documents": text("SELECT count(*) FROM rag.documents WHERE id = ANY (:ids)"),
    "staged_documents": text("SELECT count(*) FROM rag.staged_documents WHERE id = ANY (:ids)"),
    "document_chunkings": text("SELECT count(*) FROM rag.document_chunkings WHERE document_id = ANY (:ids)"),
    "document_chunks": text("SELECT count(*) FROM rag.document_chunks WHERE document_id = ANY (:ids)"),
    "staged_chunkings": text("SELECT count(*) FROM rag.staged_chunkings WHERE document_id = ANY (:ids)"),
    "staged_chunks": text("SELECT count(*) FROM rag.staged_chunks WHERE document_id = ANY (:ids)"),
    "audit_entries": text("SELECT count(*) FROM rag.audit_entries WHERE documents && :ids"),
}
_USED_BY_OTHERS = (
    "EXISTS (SELECT FROM rag.document_chunks c WHERE c.content_hash = v.content_hash AND c.chunking = s.chunking "
    "AND c.document_id <> ALL (:ids)) OR EXISTS (SELECT FROM rag.staged_chunks c "
    "WHERE c.content_hash = v.content_hash AND c.chunking = s.chunking AND c.document_id <> ALL (:ids))"
)
_VECTORS = (
    "SELECT count(*) FROM rag.embeddings v JOIN rag.embedding_spaces s ON s.id = v.space_id "
    "WHERE s.kind = 'chunks' AND v.content_hash = ANY (:hashes)"
)
_SHARED_VECTORS = text(f"{_VECTORS} AND ({_USED_BY_OTHERS})")
_OF_TEXTS = {
    "embeddings": text(f"{_VECTORS} AND NOT ({_USED_BY_OTHERS})"),
    "embedding_failures": text(f"{_VECTORS.replace('embeddings', 'embedding_failures')} AND NOT ({_USED_BY_OTHERS})"),
}
_OF_PATHS = {
    "listed_files": text(
        "SELECT count(*) FROM rag.listed_files f JOIN rag.source_listings l ON l.id = f.listing_id "
        "WHERE l.project_id = :project_id AND f.file_path = ANY (:paths)"
    )
}
_DELETE_LISTED = text(
    "DELETE FROM rag.listed_files f USING rag.source_listings l WHERE l.id = f.listing_id "
    "AND l.project_id = :project_id AND f.file_path = ANY (:paths)"
)
# The rest of an entry is about its caller.
_FORGET_AUDITED = text(
    "UPDATE rag.audit_entries SET documents = ARRAY(SELECT d FROM unnest(documents) WITH ORDINALITY t (d, place) "
    "WHERE d <> ALL (:ids) ORDER BY place) WHERE documents && :ids"
)
# A lexeme as a query of itself: quoted, not parsed again.
_ONLY_THERE = (
    "(l.chunking, l.language::text, l.lexeme) IN (SELECT * FROM unnest(:chunkings, :languages, :lexemes)) "
    "AND NOT EXISTS (SELECT FROM rag.document_chunks c WHERE c.chunking = l.chunking AND c.language = l.language "
    "AND c.document_id <> ALL (:ids) AND c.tsv @@ "
    r"('''' || replace(replace(l.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery)"
)
_WORDS = text(
    "SELECT DISTINCT c.chunking, c.language::text, w.lexeme FROM rag.document_chunks c, unnest(c.tsv) w "
    "WHERE c.document_id = ANY (:ids)"
)
_OF_WORDS = {"lexemes": text(f"SELECT count(*) FROM rag.lexemes l WHERE {_ONLY_THERE}")}
_DELETE_WORDS = text(f"DELETE FROM rag.lexemes l WHERE {_ONLY_THERE}")
NOTES = (
    "the project keeps the path, so that no ingest reads the file again",
    "the source still has the file: delete it there",
    "backups, WAL archives, Dagster's history, and pages until the database vacuums them, keep what they have",
)


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document by its project and path; `ids`: its own and those of its attachments, if it is stored."""

    project: Project
    path: str
    ids: Sequence[UUID]
    paths: Sequence[str]


def locate_document(connection: Connection, given: str) -> FoundDocument:
    """By `PROJECT/PATH`, also where it is not stored any more, or by its id; raises UsageError and NotFoundError."""
    try:
        by_id: UUID | None = UUID(given)
    except ValueError:
        by_id = None
    if by_id is not None:
        row = connection.execute(
            select(Project.name, Document.file_path).join(Document).where(Document.id == by_id)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no document {given}; name it as PROJECT/PATH, if it was forgotten already.")
        name, path = row
    else:
        name, slash, path = given.partition("/")
        if not slash or not path:
            raise UsageError(f"{given!r} is no document; write PROJECT/PATH, or its id.")
    project = get_project(connection, name)
    held = Document.file_path.startswith(path + ATTACHMENT_SEPARATOR, autoescape=True)
    rows = connection.execute(
        select(Document.id, Document.file_path)
        .where(Document.project_id == project.id, or_(Document.file_path == path, held))
        .order_by(Document.id)
    ).all()
    return FoundDocument(project, path, [row.id for row in rows], [path, *(row.file_path for row in rows)])


def erase_document(engine: Engine, given: str, *, wait_s: float, dry_run: bool = False) -> ErasureReport:
    """Remove everything of a document and its attachments, and compare what is stored before and after.

    Waits until no run reads the project's source. Removes nothing with `dry_run`.
    """
    with engine.connect() as connection:
        project = locate_document(connection, given).project
    with hold_lock(engine, f"raw_documents of {project.name}", wait_s=wait_s):
        with engine.begin() as connection:
            found = locate_document(connection, given)
            values = _values(connection, found)
            traces = _traces(values)
            before = count_traces(connection, traces)
            if not dry_run:
                _remove(connection, found, values)
        with engine.connect() as connection:
            after = count_traces(connection, traces)
            shared = int(connection.scalar(bind_values(_SHARED_VECTORS, values)) or 0)
    name = f"{found.project.name}/{found.path}"
    return ErasureReport("document", name, compare_counts(before, after), shared, NOTES)


def _remove(connection: Connection, found: FoundDocument, values: dict[str, Any]) -> None:
    refuse_path(connection, found.project.id, found.path)
    remove_documents(connection, found.ids)
    connection.execute(bind_values(_DELETE_LISTED, values))
    connection.execute(bind_values(_FORGET_AUDITED, values))
    connection.execute(bind_values(_DELETE_WORDS, values))


def _values(connection: Connection, found: FoundDocument) -> dict[str, Any]:
    chunks = ALL_CHUNKS.c
    hashes = connection.scalars(select(chunks.content_hash).distinct().where(chunks.document_id.in_(found.ids))).all()
    values: dict[str, Any] = {"ids": list(found.ids), "hashes": list(hashes), "project_id": found.project.id}
    words = connection.execute(bind_values(_WORDS, values)).all()
    return values | {
        "paths": list(found.paths),
        "chunkings": [row[0] for row in words],
        "languages": [row[1] for row in words],
        "lexemes": [row[2] for row in words],
    }


def _traces(values: dict[str, Any]) -> Traces:
    counts = _OF_DOCUMENTS | _OF_TEXTS | _OF_PATHS | _OF_WORDS
    return {table: bind_values(count, values) for table, count in counts.items()}

"""Documents: read, list, add and delete them from an application."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy import update as update_rows

from rag_assets.db.models import SCHEMA, Base, Document, Project, StagedDocument
from rag_assets.db.models.documents import derive_document_id
from rag_assets.db.spaces.text_kinds import ALL_CHUNKS
from rag_assets.db.writes.rows import DocumentRow
from rag_assets.db.writes.upserts import delete_documents, write_documents
from rag_assets.documents.readers import check_readers
from rag_assets.documents.sources.globs import exact_glob
from rag_assets.documents.text import content_hash
from rag_assets.errors import UsageError
from rag_assets.repositories.core import entities
from rag_assets.repositories.core.orphans import delete_orphaned_vectors
from rag_assets.repositories.core.values import parse_id, validate_row

# What `documents.reader` says of a document that no parser read.
APPLICATION_READER = "application"


def save(
    connection: Connection,
    project_id: UUID,
    file_path: str,
    content: str,
    *,
    title: str | None = None,
    file_type: str = "text",
    metadata: Mapping[str, Any] | None = None,
    readers: Sequence[str] | None = None,
) -> Document:
    """Add a document, or replace the one with this path; returns it as it was given.

    Searches show the new text, and `get` returns it, once a run has split and embedded it: until then the earlier
    version stays where there is one.

    `readers` says who may read it: `everyone`, `user:NAME`, `group:NAME`, `tenant:NAME`; an empty list is nobody. With
    None they stay as they are: for a new document, everyone who may read the project.

    For projects that an application fills: a run that reads a project's source deletes documents that are not in it.
    Raises UsageError where the project does not exist.
    """
    owner = entities.get_row(connection, Project, project_id).id
    values = validate_row(
        Document,
        {
            "file_path": file_path,
            "content": content,
            "title": title,
            "file_type": file_type,
            "metadata": dict(metadata or {}),
        },
    )
    if not values["file_path"]:
        raise UsageError("file_path is empty; give the document a path that is unique in its project.")
    hash_ = content_hash(values["content"])
    id_ = derive_document_id(owner, values["file_path"])
    row = DocumentRow(
        **values,
        id=id_,
        project_id=owner,
        size_bytes=len(values["content"].encode()),
        hash=hash_.hex(),
        source_version=hash_.hex(),
        reader=APPLICATION_READER,
    )
    if readers is None:
        before = select(Document.readers, Document.readers_error).where(Document.id == id_)
        row.readers, row.readers_error = connection.execute(before).first() or (None, None)
    else:
        row.readers = _check_readers(readers)
    write_documents(connection, [row])
    document = get(connection, row.id)
    for staged in entities.fetch_all(connection, select(StagedDocument).where(StagedDocument.id == row.id)):
        for name in set(StagedDocument.__mapper__.column_attrs.keys()) - {"id", "created_at"}:
            setattr(document, name, getattr(staged, name))
    return document


def get(connection: Connection, document_id: UUID) -> Document:
    """The document; raises UsageError where it does not exist."""
    return entities.get_row(connection, Document, document_id)


def find_by_path(connection: Connection, project_id: UUID, file_path: str) -> Document | None:
    """The project's document with this path; None where there is none."""
    owner = parse_id("projects.id", project_id)
    found = entities.fetch_all(
        connection, select(Document).where(Document.project_id == owner, Document.file_path == file_path)
    )
    return found[0] if found else None


def list_by_project(
    connection: Connection, project_id: UUID, *, limit: int = 50, after: str | None = None
) -> entities.Page[Document]:
    """A page of the project's documents, newest first; `after` is the `next` of the page before."""
    statement = select(Document).where(Document.project_id == parse_id("projects.id", project_id))
    return entities.fetch_page(connection, Document, statement, limit=limit, after=after)


def update(connection: Connection, document_id: UUID, changes: Mapping[str, Any]) -> Document:
    """Change `title`, `metadata` or `readers`, and return the document.

    The next run that reads its source overwrites them.

    Raises UsageError for another column.
    """
    values = entities.check_changes(Document, changes, "title", "metadata", "readers")
    access: dict[str, Any] = {}
    if "readers" in values:
        given = values.pop("readers")
        access = {"readers": None if given is None else _check_readers(given), "readers_error": None}
    changed = entities.update_row(connection, Document, document_id, values | access)
    if not values:
        return changed
    next_version = Base.metadata.tables[f"{SCHEMA}.staged_documents"]
    connection.execute(
        update_rows(next_version)
        .where(next_version.c.id == changed.id)
        .values({name: getattr(changed, {"metadata": "doc_metadata"}.get(name, name)) for name in values})
    )
    return changed


def delete(connection: Connection, document_id: UUID) -> int:
    """Delete the document permanently, with its chunks and their unshared vectors.

    Adds its path to the project's setting `forgotten`, so that no run reads it from the source again. Returns the
    number of vectors deleted; raises UsageError where the document does not exist.
    """
    document = get(connection, document_id)
    refuse_path(connection, document.project_id, document.file_path)
    return remove_documents(connection, [document.id])


def refuse_path(connection: Connection, project_id: UUID, file_path: str, *, refused: bool = True) -> None:
    """Let no run read this path from the project's source, or with `refused=False` let it be read again."""
    by_id = Project.id == project_id
    settings = connection.scalar(select(Project.settings).where(by_id).with_for_update())
    assert settings is not None
    glob = exact_glob(file_path)
    forgotten = [known for known in settings.get("forgotten", ()) if known != glob] + [glob] * refused
    connection.execute(update_rows(Project).where(by_id).values(settings=settings | {"forgotten": forgotten}))


def remove_documents(connection: Connection, ids: Sequence[UUID]) -> int:
    """Delete these documents with their chunks and unshared vectors; returns the number of vectors deleted."""
    hashes = connection.scalars(
        select(ALL_CHUNKS.c.content_hash).distinct().where(ALL_CHUNKS.c.document_id.in_(ids))
    ).all()
    delete_documents(connection, ids)
    return delete_orphaned_vectors(connection, "chunks", hashes)


def forget(connection: Connection, document_id: UUID) -> int:
    """Deprecated name of `delete`."""
    warnings.warn("Documents.forget is now Documents.delete.", DeprecationWarning, stacklevel=2)
    return delete(connection, document_id)


def _check_readers(given: Sequence[str]) -> list[str]:
    try:
        return list(check_readers(given))
    except ValueError as error:
        raise UsageError(f"{error}.") from None

"""Reads of documents, chunks and projects that a principal may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from rag_assets.db.models import Document, DocumentChunk, Project
from rag_assets.repositories.base import Repository, async_method


@dataclass(frozen=True, slots=True)
class ServedDocument:
    """A document with a slice of its text.

    - `text`: `content[char_start:char_end]`. `chars`: characters of the whole content.
    - `updated_at`: when the row was last written.
    """

    id: UUID
    project: str
    file_path: str
    title: str | None
    file_type: str
    size_bytes: int | None
    source_version: str | None
    metadata: dict[str, Any]
    updated_at: datetime
    chars: int
    char_start: int
    char_end: int
    text: str


@dataclass(frozen=True, slots=True)
class ListedDocument:
    id: UUID
    project: str
    file_path: str
    title: str | None


@dataclass(frozen=True, slots=True)
class ServedProject:
    """A project; `refreshed_at` is when its source was last read."""

    name: str
    description: str | None
    refreshed_at: datetime | None


def read_served_document(
    connection: Connection, document_id: UUID, char_start: int, char_end: int | None
) -> tuple[UUID, ServedDocument] | None:
    """The id of its project, and the document; None where there is none."""
    content = func.coalesce(Document.content, "")
    length = func.char_length(content)
    end = length if char_end is None else func.least(length, char_end)
    start = func.least(length, char_start)
    row = connection.execute(
        select(
            Document.project_id,
            Document.id,
            Project.name,
            Document.file_path,
            Document.title,
            Document.file_type,
            Document.size_bytes,
            Document.source_version,
            Document.doc_metadata,
            Document.updated_at,
            length,
            start,
            func.greatest(start, end),
            func.substr(content, start + 1, func.greatest(end - start, 0)),
        )
        .join(Project, Project.id == Document.project_id)
        .where(Document.id == document_id)
    ).one_or_none()
    if row is None:
        return None
    values: tuple[Any, ...] = tuple(row)
    return values[0], ServedDocument(*values[1:])


def list_documents(
    connection: Connection, projects: Sequence[UUID] | None, after: UUID | None, limit: int
) -> list[ListedDocument]:
    """Documents of these projects, or of all, in the order of their ids."""
    statement = select(Document.id, Project.name, Document.file_path, Document.title).join(Project)
    if projects is not None:
        statement = statement.where(Document.project_id.in_(projects))
    if after is not None:
        statement = statement.where(Document.id > after)
    rows = connection.execute(statement.order_by(Document.id).limit(limit))
    return [ListedDocument(id_, project, file_path, title) for id_, project, file_path, title in rows]


def find_document_id(connection: Connection, project: str, file_path: str) -> UUID | None:
    by_path = select(Document.id).join(Project).where(Project.name == project, Document.file_path == file_path)
    return connection.scalar(by_path)


def project_of_chunk(connection: Connection, chunk_id: UUID) -> UUID | None:
    statement = select(Document.project_id).join(DocumentChunk, DocumentChunk.document_id == Document.id)
    return connection.scalar(statement.where(DocumentChunk.id == chunk_id))


def list_projects(connection: Connection) -> list[tuple[UUID, ServedProject]]:
    """All projects with their ids, ordered by name."""
    rows = connection.execute(
        select(Project.id, Project.name, Project.description, Project.refreshed_at).order_by(Project.name)
    )
    return [(id_, ServedProject(name, description, refreshed_at)) for id_, name, description, refreshed_at in rows]


class ServedDocuments(Repository):
    """Reads for the server."""

    read_served_document = async_method(read_served_document, "read")
    list_documents = async_method(list_documents, "read")
    find_document_id = async_method(find_document_id, "read")
    project_of_chunk = async_method(project_of_chunk, "read")
    list_projects = async_method(list_projects, "read")

"""What is searched: chunks here, and whatever else has texts with vectors; with all that is shown of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select

from rag_assets.db.compiled import constant
from rag_assets.db.models import Base, Document, DocumentChunk, EmbeddingSpace, Project

CITED = (
    Project.name.label("project"),
    Document.file_path,
    Document.title,
    DocumentChunk.id.label("chunk_id"),
    DocumentChunk.chunk_index,
    DocumentChunk.heading_path,
    DocumentChunk.char_start,
    DocumentChunk.char_end,
    DocumentChunk.chunk_text,
    Document.id.label("document_id"),
    Document.file_type,
    Document.source_version,
)


class Row(NamedTuple):
    """One row of a search: the distance, and `CITED`."""

    distance: float
    project: str
    file_path: str
    title: str | None
    chunk_id: UUID
    chunk_index: int
    heading_path: list[str]
    char_start: int
    char_end: int
    chunk_text: str
    document_id: UUID
    file_type: str
    source_version: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is searched: rows of a table that have a text, and all that is shown of one.

    `row` takes the distance and `columns`; `joins` adds to a statement from `table` the others that conditions may
    speak of, and `shown_joins` those that only `columns` need; `in_force` says which rows may be found at all;
    `order` is that of rows at one distance.
    """

    row: type[Any]
    columns: tuple[Any, ...]
    table: type[Base]
    content_hash: Any
    joins: Callable[[Select[Any]], Select[Any]]
    in_force: Callable[[EmbeddingSpace], ColumnElement[bool]]
    order: tuple[Any, ...]
    shown_joins: Callable[[Select[Any]], Select[Any]] = lambda statement: statement


CHUNKS = Subject(
    row=Row,
    columns=CITED,
    table=DocumentChunk,
    content_hash=DocumentChunk.content_hash,
    joins=lambda statement: statement.join(Document, Document.id == DocumentChunk.document_id),
    shown_joins=lambda statement: statement.join(Project, Project.id == Document.project_id),
    in_force=lambda space: DocumentChunk.chunking == constant(space.chunking),
    order=(Project.name, Document.file_path, DocumentChunk.chunk_index),
)


class IdRow(NamedTuple):
    """A chunk with its distance and nothing else, where most of a ranking is never shown."""

    distance: float
    chunk_id: UUID


CHUNK_IDS = Subject(
    row=IdRow,
    columns=(DocumentChunk.id,),
    table=DocumentChunk,
    content_hash=DocumentChunk.content_hash,
    joins=CHUNKS.joins,
    in_force=CHUNKS.in_force,
    order=(Document.file_path, DocumentChunk.chunk_index, DocumentChunk.id),
)

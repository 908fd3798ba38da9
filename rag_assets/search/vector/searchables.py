"""What is searched: chunks here, and whatever else has texts with vectors; with all that is shown of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select

from rag_assets.db.connections.compiled import text_literal
from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project

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
# Its place in a row, which begins with the distance.
CHUNK_ID = 1 + [column.key for column in CITED].index("chunk_id")


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is searched: rows of a table that have a text, and all that is shown of one, its `columns`.

    `joins` adds to a statement from `table` the others that conditions may speak of, and `shown_joins` those that only
    `columns` need; `in_force` says which rows may be found at all; `order` is that of rows at one distance.
    """

    columns: tuple[Any, ...]
    table: type[Any]
    content_hash: Any
    joins: Callable[[Select[Any]], Select[Any]]
    in_force: Callable[[EmbeddingSpace], ColumnElement[bool]]
    order: tuple[Any, ...]
    shown_joins: Callable[[Select[Any]], Select[Any]] = lambda statement: statement


CHUNKS = Subject(
    columns=CITED,
    table=DocumentChunk,
    content_hash=DocumentChunk.content_hash,
    joins=lambda statement: statement.join(Document, Document.id == DocumentChunk.document_id),
    shown_joins=lambda statement: statement.join(Project, Project.id == Document.project_id),
    in_force=lambda space: DocumentChunk.chunking == text_literal(space.chunking),
    order=(Project.name, Document.file_path, DocumentChunk.chunk_index),
)


# Where most of a ranking is never shown.
CHUNK_IDS = Subject(
    columns=(DocumentChunk.id,),
    table=DocumentChunk,
    content_hash=DocumentChunk.content_hash,
    joins=CHUNKS.joins,
    in_force=CHUNKS.in_force,
    order=(Document.file_path, DocumentChunk.chunk_index, DocumentChunk.id),
)

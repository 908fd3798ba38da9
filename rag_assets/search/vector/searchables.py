"""What a vector search looks through: chunks here, messages in `search.kinds.message_filters`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, false, func

from rag_assets.db.connections.compiled import text_literal
from rag_assets.db.models import Document, DocumentChunk, EmbeddingSpace, Project

# What a citation needs: the fields of `Hit` after its score, in their order.
CITATION_COLUMNS = (
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
    DocumentChunk.header,
    DocumentChunk.page,
    # A picture has no pages, and counts as one.
    func.coalesce(
        Document.doc_metadata["recognised_pages"].contains(func.to_jsonb(func.coalesce(DocumentChunk.page, 1))), false()
    ).label("recognised"),
)
# Where a row has its chunk's id: the distance comes first.
CHUNK_ID_POSITION = 1 + [column.key for column in CITATION_COLUMNS].index("chunk_id")


@dataclass(frozen=True, slots=True, eq=False)
class Searchable:
    """A table whose rows have a text with a vector, and the columns that a search returns of each row.

    `joins` adds the tables that conditions may refer to, `column_joins` those that only `columns` need. `is_current`
    is the condition of all rows that a search may return. `tie_order` orders rows at the same distance.
    """

    columns: tuple[Any, ...]
    table: type[Any]
    content_hash: Any
    joins: Callable[[Select[Any]], Select[Any]]
    is_current: Callable[[EmbeddingSpace], ColumnElement[bool]]
    tie_order: tuple[Any, ...]
    column_joins: Callable[[Select[Any]], Select[Any]] = lambda statement: statement


CHUNKS = Searchable(
    columns=CITATION_COLUMNS,
    table=DocumentChunk,
    content_hash=DocumentChunk.content_hash,
    joins=lambda statement: statement.join(Document, Document.id == DocumentChunk.document_id),
    column_joins=lambda statement: statement.join(Project, Project.id == Document.project_id),
    is_current=lambda space: DocumentChunk.chunking == text_literal(space.chunking),
    tie_order=(Project.name, Document.file_path, DocumentChunk.chunk_index),
)

# For rankings of which most rows are dropped before their columns are read.
CHUNK_IDS = Searchable(
    columns=(DocumentChunk.id,),
    table=DocumentChunk,
    content_hash=DocumentChunk.content_hash,
    joins=CHUNKS.joins,
    is_current=CHUNKS.is_current,
    tie_order=(Document.file_path, DocumentChunk.chunk_index, DocumentChunk.id),
)

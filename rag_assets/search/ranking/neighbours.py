"""The context of a hit: its chunk with the chunks before and after it, as one piece of the document."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Integer,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    func,
    or_,
    select,
)
from sqlalchemy.orm import aliased

from rag_assets.db.connections.compiled import CompiledStatement, compile_statement
from rag_assets.db.connections.execute import StatementRunner, run_compiled
from rag_assets.db.models import Document, DocumentChunk, DocumentChunking
from rag_assets.errors import UsageError

MAX_NEIGHBOURS = 100


@dataclass(frozen=True, slots=True)
class ChunkContext:
    """A part of a document: `content[char_start:char_end] == text`. `chunks` counts the chunks in it."""

    char_start: int
    char_end: int
    text: str
    chunks: int


def fetch_contexts(
    connection: StatementRunner, chunk_ids: Iterable[UUID], neighbours: int = 1
) -> dict[UUID, ChunkContext]:
    """The context of each chunk, up to `neighbours` chunks before and after it, in one statement for all.

    The text is the document's from the start of the first chunk to the end of the last, with any gap or overlap between
    them. Where a document has changed and is not split again yet, the context is the chunk alone. Unknown ids are left
    out. Raises UsageError for neighbours outside 0 to 100.
    """
    if not 0 <= neighbours <= MAX_NEIGHBOURS:
        raise UsageError(f"context is {neighbours}; choose 0 to {MAX_NEIGHBOURS} chunks before and after.")
    found = run_compiled(connection, _compiled_contexts(), {"chunks": list(chunk_ids), "neighbours": neighbours})
    return {id_: ChunkContext(*context) for id_, *context in found}


def _contexts_statement() -> Select[UUID, int, int, str, int]:
    hits = (
        select(
            DocumentChunk.id,
            DocumentChunk.document_id,
            DocumentChunk.chunking,
            DocumentChunk.chunk_index,
            DocumentChunk.chunk_text,
            # Offsets are valid only in the version of the text that was split.
            (DocumentChunking.content_hash == Document.content_hash).label("current"),
        )
        .join(Document, Document.id == DocumentChunk.document_id)
        .join(
            DocumentChunking,
            and_(DocumentChunking.document_id == Document.id, DocumentChunking.chunking == DocumentChunk.chunking),
        )
        .where(DocumentChunk.id == any_(bindparam("chunks", type_=ARRAY(Uuid))))
        .cte("hits")
    )
    near = aliased(DocumentChunk)
    reach: BindParameter[int] = bindparam("neighbours", type_=Integer)
    spans = (
        select(
            hits,
            func.min(near.char_start).label("char_start"),
            func.max(near.char_end).label("char_end"),
            func.count().label("chunks"),
        )
        .join(near, and_(near.document_id == hits.c.document_id, near.chunking == hits.c.chunking))
        .where(
            near.chunk_index.between(hits.c.chunk_index - reach, hits.c.chunk_index + reach),
            or_(hits.c.current, near.id == hits.c.id),
        )
        .group_by(*hits.c)
        .cte("spans")
    )
    # Detoasted once for each document: for one of several megabytes, that takes longer than all its pieces.
    whole = (
        select(Document.id, (Document.content + "").label("content"))
        .where(Document.id.in_(select(hits.c.document_id).where(hits.c.current)))
        .cte("whole")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    piece = func.substring(whole.c.content, spans.c.char_start + 1, spans.c.char_end - spans.c.char_start)
    return select(
        spans.c.id,
        spans.c.char_start,
        spans.c.char_end,
        case((spans.c.current, piece), else_=spans.c.chunk_text).label("text"),
        spans.c.chunks,
    ).outerjoin(whole, whole.c.id == spans.c.document_id)


@cache
def _compiled_contexts() -> CompiledStatement:
    return compile_statement(_contexts_statement())

"""Documents of which RAG_ASSETS_MAX_CHUNKS leaves a part out: known by their number of chunks and where the last ends.

The limit is a multiple of LIMIT_STEP, so few documents need a look at their text.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select

from rag_assets.db.models import Document, DocumentChunk

LIMIT_STEP = 1000
_WHITE_SPACE = " \t\n\v\f\r"


def may_be_cut_short(stamp: Any) -> ColumnElement[bool]:
    """Whether the number of chunks is one at which a limit may have stopped."""
    return and_(stamp.chunk_count >= LIMIT_STEP, stamp.chunk_count % LIMIT_STEP == 0)


def is_cut_short(stamp: Any) -> ColumnElement[bool]:
    """Whether the chunks of a document end before its text does; `stamp` is its row of document_chunkings."""
    # CASE keeps the order: the text is read only where it may be cut.
    ends_early = end_of_chunks(stamp) < func.length(func.rtrim(Document.content, _WHITE_SPACE))
    return case((may_be_cut_short(stamp), ends_early), else_=false())


def has_other_limit(stamp: Any, max_chunks: int) -> ColumnElement[bool]:
    """Whether a document has more chunks than this limit allows, or was cut short by a lower one."""
    return or_(stamp.chunk_count > max_chunks, and_(stamp.chunk_count < max_chunks, is_cut_short(stamp)))


def end_of_chunks(stamp: Any) -> ColumnElement[int]:
    """Where the last chunk ends in the text of the document."""
    last = (
        select(DocumentChunk.char_end)
        .where(
            DocumentChunk.document_id == stamp.document_id,
            DocumentChunk.chunking == stamp.chunking,
            DocumentChunk.chunk_index == stamp.chunk_count - 1,
        )
        .correlate(stamp)
    )
    return last.scalar_subquery()

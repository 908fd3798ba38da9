"""chunks: cut again the documents whose stored chunks were made of another text, or by another chunking."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Engine, and_, func, select
from sqlalchemy.orm import aliased

from rag_assets.db.locks import exclusively
from rag_assets.db.models import Document, DocumentChunking
from rag_assets.db.rows import ChunkedDocument, ChunkRow, chunk_id
from rag_assets.progress import report
from rag_assets.stages.batches import ChunkBatch
from rag_assets.text.hashing import content_hash
from rag_assets.text.splitting import Piece, Splitter

BATCH_DOCUMENTS = 200
BATCH_BYTES = 2_000_000

_TEXTS = select(Document.id, Document.content, Document.content_hash, Document.file_type).where(
    Document.content.is_not(None)
)


def refresh_chunks(
    engine: Engine, *, project: str, project_id: UUID, chunking: str, splitter: Splitter, wait_s: float
) -> Iterator[ChunkBatch]:
    """Stream the chunks of all documents of the project whose chunks are not stamped with their text."""
    with exclusively(engine, f"chunks of {project}", wait_s=wait_s):
        pending = pending_documents(engine, project_id, chunking)
        done = 0
        for group in _groups(pending):
            with engine.connect() as connection:
                documents = connection.execute(_TEXTS.where(Document.id.in_(group))).all()
            split = splitter.split_all([(document.content or "", document.file_type) for document in documents])
            yield ChunkBatch(
                project,
                chunking,
                [
                    ChunkedDocument(
                        document.id, document.content_hash or b"", list(_rows(document.id, chunking, pieces))
                    )
                    for document, pieces in zip(documents, split, strict=True)
                ],
            )
            done += len(group)
            report("chunks", done, len(pending), "documents")


def pending_documents(engine: Engine, project_id: UUID, chunking: str) -> Sequence[tuple[UUID, int]]:
    """Documents to chunk, as (id, size of the text in bytes)."""
    stamp = aliased(DocumentChunking)
    statement = (
        select(Document.id, func.octet_length(Document.content))
        .outerjoin(stamp, and_(stamp.document_id == Document.id, stamp.chunking == chunking))
        .where(
            Document.project_id == project_id,
            Document.content.is_not(None),
            stamp.content_hash.is_distinct_from(Document.content_hash),
        )
        .order_by(Document.id)
    )
    with engine.connect() as connection:
        return [(id_, size) for id_, size in connection.execute(statement)]


def _groups(pending: Sequence[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    group: list[UUID] = []
    held = 0
    for id_, size in pending:
        if group and (len(group) >= BATCH_DOCUMENTS or held + size > BATCH_BYTES):
            yield group
            group, held = [], 0
        group.append(id_)
        held += size
    if group:
        yield group


def _rows(document: UUID, chunking: str, pieces: Sequence[Piece]) -> Iterator[ChunkRow]:
    seen: dict[bytes, int] = {}
    for index, piece in enumerate(pieces):
        hash_ = content_hash(piece.text)
        occurrence = seen[hash_] = seen.get(hash_, -1) + 1
        yield ChunkRow(
            id=chunk_id(document, chunking, hash_, occurrence),
            document_id=document,
            chunking=chunking,
            chunk_index=index,
            chunk_text=piece.text,
            content_hash=hash_,
            char_start=piece.char_start,
            char_end=piece.char_end,
            token_count=piece.token_count,
            heading_path=list(piece.heading_path),
        )

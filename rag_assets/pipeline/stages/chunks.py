"""chunks: cut again the documents whose stored chunks were made of another text, or by another chunking."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Engine, select

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document
from rag_assets.db.models.chunks import derive_chunk_id
from rag_assets.db.schema.text_search import check_language
from rag_assets.db.spaces.pending import documents_with_text, pending_documents
from rag_assets.db.writes.batching import group_documents
from rag_assets.db.writes.rows import ChunkedDocument, ChunkRow
from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.documents.text import content_hash
from rag_assets.pipeline.progress import report
from rag_assets.pipeline.stages.batches import ChunkBatch

_TEXTS = select(Document.id, Document.content, Document.content_hash, Document.file_type).where(
    Document.content.is_not(None)
)


def refresh_chunks(
    engine: Engine,
    *,
    project: str,
    project_id: UUID,
    language: str,
    chunking: str,
    splitter: Splitter,
    chunk_tokens: int | None = None,
    overlap_tokens: int | None = None,
    wait_s: float,
    everything: bool = False,
) -> Iterator[ChunkBatch]:
    """Stream the chunks of all documents of the project that are not stamped with their text, language and size.

    The tokens are those that the project asks for itself; `splitter` is made for them.

    With `everything`, of all documents, whatever their stamps say.
    Raises UsageError for a language that the server does not know.
    """
    with hold_lock(engine, f"chunks of {project}", wait_s=wait_s):
        with autocommit_connection(engine) as connection:
            check_language(connection, language)
            wanted = documents_with_text(project_id) if everything else pending_documents(project_id, chunking)
            pending = connection.execute(wanted).all()
        done = 0
        for group in group_documents((id_, size) for id_, size in pending):
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
                language=language,
                chunk_tokens=chunk_tokens,
                overlap_tokens=overlap_tokens,
            )
            done += len(group)
            report("chunks", done, len(pending), "documents")


def _rows(document: UUID, chunking: str, pieces: Sequence[Piece]) -> Iterator[ChunkRow]:
    seen: dict[bytes, int] = {}
    for index, piece in enumerate(pieces):
        hash_ = content_hash(piece.text)
        occurrence = seen[hash_] = seen.get(hash_, -1) + 1
        yield ChunkRow(
            id=derive_chunk_id(document, chunking, hash_, occurrence),
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

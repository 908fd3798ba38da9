"""chunks: split the documents whose stored chunks were made of another text, language or chunking."""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, Select, select

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document, EmbeddingSpace, StagedDocument
from rag_assets.db.models.chunks import derive_chunk_id
from rag_assets.db.schema.text_search import DEFAULT_LANGUAGE, check_language
from rag_assets.db.spaces.pending import documents_with_text, pending_documents, pending_staged_documents
from rag_assets.db.writes.batching import group_documents
from rag_assets.db.writes.rows import ChunkedDocument, ChunkRow
from rag_assets.db.writes.staging import discard_stale_splits
from rag_assets.documents.parsing.parse_report import ParseReport
from rag_assets.documents.sources.rows.address import has_source_vectors
from rag_assets.documents.splitting.chunk_limit import first_pieces, is_long
from rag_assets.documents.splitting.slides import join_pieces, slide_starts
from rag_assets.documents.splitting.splitter import Piece, Splitter
from rag_assets.documents.splitting.whole_texts import WholeTextSplitter
from rag_assets.documents.text import content_hash
from rag_assets.embedding.model import find_space_model
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import ChunkBatch
from rag_assets.pipeline.stages.project_isolation import LoadedProject
from rag_assets.pipeline.target.chunking import project_splitter
from rag_assets.settings.settings import Settings


def _texts(version: type[Document | StagedDocument]) -> Select[Any]:
    return select(version.id, version.content, version.content_hash, version.file_type, version.parse_report).where(
        version.content.is_not(None)
    )


def split_documents(
    engine: Engine, settings: Settings, space: EmbeddingSpace, project: LoadedProject, *, everything: bool = False
) -> Iterator[ChunkBatch]:
    """Stream the space's chunks of the project's pending documents; with `everything`, of all its documents.

    A document is pending until it is stamped with the text, language and chunk size that its chunks were made with.
    Raises UsageError for a language that the server does not know, and for chunks longer than the model's window.
    """
    own, chunking = project.settings, space.chunking
    language = own.language or DEFAULT_LANGUAGE
    splitter = project_splitter(space, find_space_model(space), project.name, own)
    if has_source_vectors(project.source_uri):
        splitter = WholeTextSplitter(splitter, space.max_tokens)
    with hold_lock(engine, f"chunks of {project.name}", wait_s=settings.lock_wait_s, shard=project.shard):
        with autocommit_connection(engine) as connection:
            check_language(connection, language)
            wanted = (
                documents_with_text(project.id, project.shard)
                if everything
                else pending_documents(project.id, chunking, shard=project.shard, max_chunks=settings.max_chunks)
            )
            pending = connection.execute(wanted).all()
            waiting = pending_staged_documents(
                project.id, chunking, shard=project.shard, max_chunks=settings.max_chunks
            )
            staged = [] if everything else connection.execute(waiting).all()
        if not everything:
            with engine.begin() as connection:
                discard_stale_splits(connection, project.id, project.shard)
        done, total = 0, len(pending) + len(staged)
        versions: tuple[tuple[type[Document | StagedDocument], Any], ...] = (
            (Document, pending),
            (StagedDocument, staged),
        )
        groups = (
            (version, group)
            for version, rows in versions
            for group in group_documents((id_, size) for id_, size in rows)
        )
        for version, group in groups:
            with engine.connect() as connection:
                documents = connection.execute(_texts(version).where(version.id.in_(group))).all()
            reports = [ParseReport.from_json(document.parse_report) for document in documents]
            split = _split(splitter, documents, reports, settings.max_chunks)
            yield ChunkBatch(
                project.key,
                chunking,
                [
                    ChunkedDocument(
                        document.id,
                        document.content_hash or b"",
                        list(_chunk_rows(document.id, chunking, pieces, report)),
                        splitter.unknown_share(document.content or "", pieces),
                        of_staged_text=version is StagedDocument,
                    )
                    for document, pieces, report in zip(documents, split, reports, strict=True)
                ],
                language=language,
                chunk_tokens=own.chunk_tokens,
                overlap_tokens=own.overlap_tokens,
            )
            done += len(group)
            report_progress("chunks", done, total, "documents")


def _split(
    splitter: Splitter, documents: Sequence[Row[Any]], reports: Sequence[ParseReport], max_chunks: int
) -> Iterator[list[Piece]]:
    """At most `max_chunks` pieces of each document; those of shorter texts are counted together, which is faster."""
    long = [is_long(len(document.content or ""), max_chunks) for document in documents]
    starts = [
        [] if own_long else slide_starts(document.content or "", document.file_type, report.page_starts)
        for document, report, own_long in zip(documents, reports, long, strict=True)
    ]
    parts = iter(splitter.split_all([part for one in zip(documents, starts, strict=True) for part in _parts(*one)]))
    for document, report, own, own_long in zip(documents, reports, starts, long, strict=True):
        if own_long:
            yield _split_long(splitter, document, report, max_chunks)
        else:
            yield join_pieces(own, list(islice(parts, len(own))))[:max_chunks]


def _split_long(splitter: Splitter, document: Row[Any], report: ParseReport, max_chunks: int) -> list[Piece]:
    content: str = document.content
    starts = slide_starts(content, document.file_type, report.page_starts)

    def split_prefix(end: int) -> list[Piece]:
        own = [start for start in starts if start < end]
        return join_pieces(own, splitter.split_all(list(_parts(document, own, end))))

    return first_pieces(len(content), split_prefix, max_chunks)


def _parts(document: Row[Any], starts: Sequence[int], stop: int | None = None) -> Iterator[tuple[str, str]]:
    """The texts between these places, with the type of the file."""
    for start, end in pairwise([*starts, stop]):
        yield (document.content or "")[start:end], document.file_type


def _chunk_rows(document: UUID, chunking: str, pieces: Sequence[Piece], report: ParseReport) -> Iterator[ChunkRow]:
    occurrences: dict[bytes, int] = {}
    for index, piece in enumerate(pieces):
        hash_ = content_hash(piece.embedded_text)
        occurrence = occurrences[hash_] = occurrences.get(hash_, -1) + 1
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
            header=piece.header,
            page=report.page_of(piece.char_start, piece.char_end),
        )

"""Compare documents with their source, and chunks with their documents, as the stages would write them now."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, Text, cast, exists, func, or_, select

from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, EmbeddingSpace, StagedChunking
from rag_assets.db.writes.invalidate import id_in, invalidate_chunkings, invalidate_documents
from rag_assets.db.writes.rows import ChunkRow
from rag_assets.documents.shards import WHOLE, shard_keys
from rag_assets.errors import RagAssetsError
from rag_assets.pipeline import refresh
from rag_assets.pipeline.repair.damage import Damage
from rag_assets.pipeline.stages.batches import ChunkBatch, FailedProject
from rag_assets.pipeline.stages.chunks import split_documents
from rag_assets.pipeline.stages.project_isolation import load_project
from rag_assets.projects.store import get_project
from rag_assets.settings.settings import Settings

EXAMPLES = 5

_CHUNK_COLUMNS = tuple(ChunkRow.__slots__)


def survey_documents(engine: Engine, settings: Settings, project: str) -> Iterator[Damage]:
    """Documents that reading the source now would change, and documents whose stored text was altered."""
    try:
        added, changed, gone = _compare_with_source(engine, settings, project)
    except RagAssetsError as error:
        yield Damage("chunks", "source_unreadable", project, 0, [str(error)], mendable=False)
    else:
        for what, paths in (("documents_missing", added), ("documents_changed", changed), ("documents_gone", gone)):
            if paths:
                yield Damage("chunks", what, project, len(paths), sorted(paths)[:EXAMPLES])
    with engine.connect() as connection:
        project_id = get_project(connection, project).id
        altered = connection.execute(
            select(Document.id, Document.file_path)
            .where(Document.project_id == project_id, _is_altered())
            .order_by(Document.file_path)
        ).all()
    if altered:
        ids = [id_ for id_, _ in altered]
        paths = [path for _, path in altered[:EXAMPLES]]
        yield Damage(
            "chunks",
            "documents_altered",
            project,
            len(ids),
            paths,
            invalidate=partial(_invalidate_documents, engine, ids),
        )


def survey_chunks(engine: Engine, settings: Settings, project: str, space: EmbeddingSpace) -> Iterator[Damage]:
    """Documents whose stored chunks differ, in any column, from those that splitting them now would give."""
    wrong: list[UUID] = []
    whole = replace(load_project(engine, project), shard=WHOLE)
    for batch in split_documents(engine, settings, space, whole, everything=True):
        wrong += _documents_that_differ(engine, batch)
    if wrong:
        # What waits for its vectors, of the same text, replaces the chunks that searches show.
        own = StagedChunking.content_hash == Document.content_hash
        waits = exists().where(
            StagedChunking.document_id == Document.id, StagedChunking.chunking == space.chunking, own
        )
        with engine.connect() as connection:
            wrong = list(connection.scalars(select(Document.id).where(id_in(Document.id, wrong), ~waits)))
    if wrong:
        with engine.connect() as connection:
            statement = select(Document.file_path).where(id_in(Document.id, wrong)).order_by(Document.file_path)
            paths = list(connection.scalars(statement.limit(EXAMPLES)))
        where = f"{project}, chunking of space {space.id}"
        invalidate = partial(_invalidate_chunkings, engine, wrong, space.chunking)
        yield Damage("chunks", "chunks_differ", where, len(wrong), paths, invalidate=invalidate)


def _compare_with_source(engine: Engine, settings: Settings, project: str) -> tuple[list[str], list[str], list[str]]:
    """The paths of the documents that a run would add, replace and delete."""
    added: list[str] = []
    changed: list[str] = []
    gone: list[str] = []
    with engine.connect() as connection:
        stored = get_project(connection, project)
        documents = select(Document.id, Document.file_path).where(Document.project_id == stored.id)
        known = {row.id: row.file_path for row in connection.execute(documents)}
    keys = shard_keys(project, int(stored.settings.get("shards", 1)))
    for batch in refresh.refresh_documents(engine, settings, keys):
        if isinstance(batch, FailedProject):
            raise batch.error
        for row in batch.rows:
            (changed if row.id in known else added).append(row.file_path)
        # A known document that cannot be read is reported by a check; here only unknown ones count.
        added += [failure.file_path for failure in batch.failures if failure.id not in known]
        gone += [known[id_] for id_ in batch.deletions]
    return added, changed, gone


def _is_altered() -> ColumnElement[bool]:
    lost = Document.content.is_(None) & (Document.status == "ok")
    actual_hash = func.sha256(func.convert_to(Document.content, "UTF8"))
    # The chunks were made of another text: a run was killed between the stages, or text and hash were both changed.
    stamp = DocumentChunking
    chunks_outdated = exists().where(stamp.document_id == Document.id, stamp.content_hash != Document.content_hash)
    return or_(lost, actual_hash != Document.content_hash, chunks_outdated)


def _invalidate_documents(engine: Engine, ids: Sequence[UUID]) -> None:
    with engine.begin() as connection:
        invalidate_documents(connection, ids)


def _invalidate_chunkings(engine: Engine, ids: Sequence[UUID], chunking: str) -> None:
    with engine.begin() as connection:
        invalidate_chunkings(connection, ids, chunking)


def _documents_that_differ(engine: Engine, batch: ChunkBatch) -> list[UUID]:
    """The documents of the batch whose stored chunks or stamp differ from it."""
    ids = [document.document_id for document in batch.documents]
    columns = (*(getattr(DocumentChunk, name) for name in _CHUNK_COLUMNS), cast(DocumentChunk.language, Text))
    chunks = select(*columns).where(DocumentChunk.document_id.in_(ids), DocumentChunk.chunking == batch.chunking)
    stamp = DocumentChunking
    stamps = select(stamp.document_id, stamp.content_hash, stamp.chunk_count, cast(stamp.language, Text)).where(
        stamp.document_id.in_(ids), stamp.chunking == batch.chunking
    )
    document_id, chunk_index = (_CHUNK_COLUMNS.index(name) for name in ("document_id", "chunk_index"))
    stored: dict[UUID, list[tuple[Any, ...]]] = {id_: [] for id_ in ids}
    with engine.connect() as connection:
        for row in connection.execute(chunks):
            stored[row[document_id]].append(tuple(row))
        stored_stamps = {row[0]: tuple(row[1:]) for row in connection.execute(stamps)}
    wrong = []
    for document in batch.documents:
        wanted = [(*(getattr(row, name) for name in _CHUNK_COLUMNS), batch.language) for row in document.chunks]
        wanted_stamp = (document.content_hash, len(wanted), batch.language)
        found = sorted(stored[document.document_id], key=lambda row: row[chunk_index])
        if found != wanted or stored_stamps.get(document.document_id) != wanted_stamp:
            wrong.append(document.document_id)
    return wrong

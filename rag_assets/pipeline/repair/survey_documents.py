"""Documents against their source, and chunks against their documents, as the stages that write them would make them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, Text, cast, exists, func, or_, select

from rag_assets.db.models import Document, DocumentChunk, DocumentChunking, EmbeddingSpace
from rag_assets.db.writes.invalidate import id_in, invalidate_chunkings, invalidate_documents
from rag_assets.db.writes.rows import ChunkRow
from rag_assets.errors import RagAssetsError
from rag_assets.pipeline import refresh
from rag_assets.pipeline.repair.damage import Damage
from rag_assets.pipeline.stages.batches import ChunkBatch
from rag_assets.pipeline.stages.project_isolation import Failed
from rag_assets.projects.store import get_project
from rag_assets.settings.settings import Settings

EXAMPLES = 5

_CHUNK_COLUMNS = tuple(ChunkRow.__slots__)


def survey_documents(engine: Engine, settings: Settings, project: str) -> Iterator[Damage]:
    """What reading the source now would change, without changing it; and texts that are not those that were read."""
    try:
        added, changed, gone = _against_source(engine, settings, project)
    except RagAssetsError as error:
        yield Damage("chunks", "source_unreadable", project, 0, [str(error)], mendable=False)
    else:
        for what, paths in (("documents_missing", added), ("documents_changed", changed), ("documents_gone", gone)):
            if paths:
                yield Damage("chunks", what, project, len(paths), sorted(paths)[:EXAMPLES])
    with engine.connect() as connection:
        owner = get_project(connection, project).id
        altered = connection.execute(
            select(Document.id, Document.file_path)
            .where(Document.project_id == owner, _altered())
            .order_by(Document.file_path)
        ).all()
    if altered:
        ids = [id_ for id_, _ in altered]
        paths = [path for _, path in altered[:EXAMPLES]]
        yield Damage(
            "chunks", "documents_altered", project, len(ids), paths, void=partial(_forget_documents, engine, ids)
        )


def survey_chunks(engine: Engine, settings: Settings, project: str, space: EmbeddingSpace) -> Iterator[Damage]:
    """Documents whose stored chunks are not those that cutting them now makes, in whatever column."""
    wrong: list[UUID] = []
    for batch in refresh.chunks_of_space(engine, settings, [project], space, everything=True):
        wrong += _differing(engine, batch)
    if wrong:
        with engine.connect() as connection:
            named = select(Document.file_path).where(id_in(Document.id, wrong)).order_by(Document.file_path)
            paths = list(connection.scalars(named.limit(EXAMPLES)))
        where = f"{project}, chunking of space {space.id}"
        void = partial(_forget_stamps, engine, wrong, space.chunking)
        yield Damage("chunks", "chunks_differ", where, len(wrong), paths, void=void)


def _against_source(engine: Engine, settings: Settings, project: str) -> tuple[list[str], list[str], list[str]]:
    """Paths of documents that a run would add, replace and delete."""
    added: list[str] = []
    changed: list[str] = []
    gone: list[str] = []
    with engine.connect() as connection:
        owner = get_project(connection, project).id
        documents = select(Document.id, Document.file_path).where(Document.project_id == owner)
        known = {row.id: row.file_path for row in connection.execute(documents)}
    for batch in refresh.documents(engine, settings, [project]):
        if isinstance(batch, Failed):
            raise batch.error
        for row in batch.rows:
            (changed if row.id in known else added).append(row.file_path)
        # What could not be read before is told by a check; here only what nobody knows of yet.
        added += [failure.file_path for failure in batch.failures if failure.id not in known]
        gone += [known[id_] for id_ in batch.deletions]
    return added, changed, gone


def _altered() -> ColumnElement[bool]:
    lost = Document.content.is_(None) & (Document.status == "ok")
    hashed = func.sha256(func.convert_to(Document.content, "UTF8"))
    # Chunks were made of another text: a run that was killed in between left it so, or somebody changed text and hash.
    stamp = DocumentChunking
    newer = exists().where(stamp.document_id == Document.id, stamp.content_hash != Document.content_hash)
    return or_(lost, hashed != Document.content_hash, newer)


def _forget_documents(engine: Engine, ids: Sequence[UUID]) -> None:
    with engine.begin() as connection:
        invalidate_documents(connection, ids)


def _forget_stamps(engine: Engine, ids: Sequence[UUID], chunking: str) -> None:
    with engine.begin() as connection:
        invalidate_chunkings(connection, ids, chunking)


def _differing(engine: Engine, batch: ChunkBatch) -> list[UUID]:
    """The documents of the batch that are stored in another way, or are not stamped with what is stored."""
    ids = [document.document_id for document in batch.documents]
    columns = (*(getattr(DocumentChunk, name) for name in _CHUNK_COLUMNS), cast(DocumentChunk.language, Text))
    chunks = select(*columns).where(DocumentChunk.document_id.in_(ids), DocumentChunk.chunking == batch.chunking)
    stamp = DocumentChunking
    stamps = select(stamp.document_id, stamp.content_hash, stamp.chunk_count, cast(stamp.language, Text)).where(
        stamp.document_id.in_(ids), stamp.chunking == batch.chunking
    )
    place = _CHUNK_COLUMNS.index("document_id")
    stored: dict[UUID, list[tuple[Any, ...]]] = {id_: [] for id_ in ids}
    with engine.connect() as connection:
        for row in connection.execute(chunks):
            stored[row[place]].append(tuple(row))
        stamped = {row[0]: tuple(row[1:]) for row in connection.execute(stamps)}
    wrong = []
    for document in batch.documents:
        wanted = [(*(getattr(row, name) for name in _CHUNK_COLUMNS), batch.language) for row in document.chunks]
        stamped_as = (document.content_hash, len(wanted), batch.language)
        found = sorted(stored[document.document_id], key=lambda row: row[_CHUNK_COLUMNS.index("chunk_index")])
        if found != wanted or stamped.get(document.document_id) != stamped_as:
            wrong.append(document.document_id)
    return wrong

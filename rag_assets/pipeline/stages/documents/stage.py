"""The stage: what the source lists against what is stored, in bounded batches."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, case, select

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document, StagedDocument
from rag_assets.db.writes.rows import DocumentFailureRow, DocumentRow, SourceVersionRow
from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.sources import Source, SourceFile
from rag_assets.errors import IntegrityError, SourceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import DocumentBatch
from rag_assets.pipeline.stages.documents.attached import AttachedDocuments, StoredDocument
from rag_assets.pipeline.stages.documents.file_reader import FileReader, FileResult
from rag_assets.pipeline.stages.project_isolation import LoadedProject
from rag_assets.settings.settings import Settings

BATCH_ROWS = 500
BATCH_BYTES = 8_000_000


def read_documents(
    engine: Engine,
    settings: Settings,
    project: LoadedProject,
    source: Source,
    parser: DocumentParser,
    *,
    confirm_deletions: bool = False,
    retry_failed: bool = False,
) -> Iterator[DocumentBatch]:
    """Stream the changes that make the project's `documents` equal to its source.

    Raises IntegrityError, before anything is read, when more than half of the stored documents would be deleted.
    """
    with hold_lock(engine, f"raw_documents of {project.name}", wait_s=settings.lock_wait_s):
        stored = stored_documents(engine, project.id)
        listed = {file.path: file for file in source.list()}
        exclude = (*project.settings.exclude, *project.settings.forgotten)
        attached = AttachedDocuments(stored, listed, enabled=settings.mail_attachments, exclude=exclude)
        lost = [path for path in stored if path not in listed and not attached.is_held(path)]
        if not confirm_deletions:
            # Attachments are deleted with their mail: only files count.
            files = [path for path in stored if not attached.is_attachment(path)]
            gone = sum(not attached.is_attachment(path) for path in lost)
            _refuse_mass_deletion(project.name, source.uri, stored=len(files), listed=len(listed), gone=gone)
        comparable = {path: document for path, document in stored.items() if not (retry_failed and document.failed)}
        reader = FileReader(project.id, source, parser, stored, comparable, attached)
        results = _read_in_order(listed.values(), reader, settings.parse_workers)
        yield from _batches(project.name, results, total=len(listed))
        for start in range(0, len(lost), BATCH_ROWS):
            deletions = [stored[path].id for path in lost[start : start + BATCH_ROWS]]
            yield DocumentBatch(project.name, deletions=deletions)


def stored_documents(engine: Engine, project_id: UUID) -> dict[str, StoredDocument]:
    """The project's documents by file path, as they were last read: a next version counts, where there is one."""
    read: tuple[tuple[Any, ...], ...] = tuple(
        (version.source_version, version.hash, version.reader, version.parse_report["attachments"])
        for version in (Document, StagedDocument)
    )
    is_read = StagedDocument.id.is_(None)
    last_read = (case((is_read, own), else_=staged) for own, staged in zip(*read, strict=True))
    columns = (Document.file_path, Document.id, Document.status == "failed", *last_read)
    statement = select(*columns).outerjoin(StagedDocument, StagedDocument.id == Document.id)
    with autocommit_connection(engine) as connection:
        rows = connection.execute(statement.where(Document.project_id == project_id))
        return {
            path: StoredDocument(id_, version, hash_, reader, failed, tuple(attached or ()))
            for path, id_, failed, version, hash_, reader, attached in rows
        }


def _refuse_mass_deletion(project: str, uri: str, *, stored: int, listed: int, gone: int) -> None:
    if not stored and not listed:
        raise SourceError(f"{uri} holds no documents; check the path and the --include and --exclude globs.")
    if stored and (not listed or gone * 2 > stored):
        raise IntegrityError(
            f"{gone} of the {stored} documents of project {project} are no longer listed by {uri}; nothing was "
            "deleted. If they are really gone, run again with --confirm-deletions."
        )


def _read_in_order(
    files: Iterable[SourceFile],
    read: Callable[[SourceFile], FileResult],
    workers: int,
) -> Iterator[FileResult]:
    """Read in several threads, at most 2 * workers files ahead of the consumer, and yield in the listing's order."""
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        ahead: deque[Future[FileResult]] = deque()
        try:
            for file in files:
                ahead.append(pool.submit(read, file))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _batches(project: str, results: Iterator[FileResult], *, total: int) -> Iterator[DocumentBatch]:
    batch, size = _new_batch(project), 0
    for done, found in enumerate(results, start=1):
        for result, stored in found.documents.values():
            batch.figures["seen"] += 1
            match result:
                case DocumentRow():
                    batch.rows.append(result)
                    size += len(result.content)
                case DocumentFailureRow():
                    batch.failures.append(result)
                case SourceVersionRow() | None:
                    if result is not None:
                        batch.touches.append(result)
                    batch.figures["still_failed" if stored and stored.failed else "unchanged"] += 1
        batch.deletions += found.gone
        report_progress("raw_documents", done, total, "documents")
        rows = len(batch.rows) + len(batch.failures) + len(batch.touches) + len(batch.deletions)
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = _new_batch(project), 0
    yield batch


def _new_batch(project: str) -> DocumentBatch:
    return DocumentBatch(project, figures={"seen": 0, "unchanged": 0, "still_failed": 0})

"""raw_documents: compare the source's listing with the stored documents, and read only what differs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Engine, select

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document
from rag_assets.db.models.documents import derive_document_id
from rag_assets.db.writes.rows import DocumentFailureRow, DocumentRow, SourceVersionRow
from rag_assets.documents.parsing.parser import DocumentParser, file_type, reader_version
from rag_assets.documents.sources import Source, SourceFile
from rag_assets.documents.text import content_hash
from rag_assets.errors import DocumentError, IntegrityError, SourceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import DocumentBatch
from rag_assets.pipeline.stages.project_isolation import LoadedProject
from rag_assets.settings.settings import Settings

BATCH_ROWS = 500
BATCH_BYTES = 8_000_000

# None: the file is unchanged.
ReadResult = DocumentRow | SourceVersionRow | DocumentFailureRow | None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What the table has of a document, for the comparison with its source."""

    id: UUID
    source_version: str | None
    hash: str | None
    reader: str | None
    failed: bool


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
        gone = [document.id for path, document in stored.items() if path not in listed]
        if not confirm_deletions:
            _refuse_mass_deletion(project.name, source.uri, stored=len(stored), listed=len(listed), gone=len(gone))
        comparable = {path: document for path, document in stored.items() if not (retry_failed and document.failed)}
        reader = _FileReader(project.id, source, parser, comparable)
        results = _read_in_order(listed.values(), reader, settings.parse_workers)
        yield from _batches(project.name, results, total=len(listed))
        for start in range(0, len(gone), BATCH_ROWS):
            yield DocumentBatch(project.name, deletions=gone[start : start + BATCH_ROWS])


def stored_documents(engine: Engine, project_id: UUID) -> dict[str, StoredDocument]:
    """The project's documents by file path."""
    columns = (
        Document.file_path,
        Document.id,
        Document.source_version,
        Document.hash,
        Document.reader,
        Document.status == "failed",
    )
    with autocommit_connection(engine) as connection:
        rows = connection.execute(select(*columns).where(Document.project_id == project_id))
        return {
            path: StoredDocument(id_, version, hash_, reader, failed)
            for path, id_, version, hash_, reader, failed in rows
        }


def _refuse_mass_deletion(project: str, uri: str, *, stored: int, listed: int, gone: int) -> None:
    if not stored and not listed:
        raise SourceError(f"{uri} holds no documents; check the path and the --include and --exclude globs.")
    if stored and (not listed or gone * 2 > stored):
        raise IntegrityError(
            f"{gone} of the {stored} documents of project {project} are no longer listed by {uri}; nothing was "
            "deleted. If they are really gone, run again with --confirm-deletions."
        )


class _FileReader:
    """Reads a listed file only as far as needed to know whether it changed; called from several threads."""

    def __init__(
        self, project_id: UUID, source: Source, parser: DocumentParser, stored: Mapping[str, StoredDocument]
    ) -> None:
        self._project_id = project_id
        self._source = source
        self._parser = parser
        self._stored = stored

    def __call__(self, file: SourceFile) -> tuple[ReadResult, StoredDocument | None]:
        stored = self._stored.get(file.path)
        reader = reader_version(file.path)
        same_reader = stored is not None and stored.reader == reader
        if stored and same_reader and file.version and stored.source_version == file.version:
            return None, stored
        failure = DocumentFailureRow(
            id=stored.id if stored else derive_document_id(self._project_id, file.path),
            project_id=self._project_id,
            file_path=file.path,
            file_type=file_type(file.path),
            error="",
            reader=reader,
            size_bytes=file.size_bytes,
        )
        try:
            data = self._source.read(file.path)
        except DocumentError as error:
            failure.error = str(error)
            return failure, stored
        digest = sha256(data).hexdigest()
        if stored and same_reader and stored.hash == digest:
            return SourceVersionRow(stored.id, file.version), stored
        try:
            parsed = self._parser.parse(file.path, data)
        except DocumentError as error:
            failure.error, failure.hash, failure.source_version = str(error), digest, file.version
            failure.size_bytes = len(data)
            return failure, stored
        row = DocumentRow(
            id=failure.id,
            project_id=self._project_id,
            file_path=file.path,
            title=parsed.title,
            content=parsed.content,
            content_hash=content_hash(parsed.content),
            file_type=parsed.file_type,
            size_bytes=len(data),
            hash=digest,
            source_version=file.version,
            reader=reader,
            metadata=parsed.metadata,
            parse_report=parsed.report.as_json() or None,
        )
        return row, stored


def _read_in_order(
    files: Iterable[SourceFile],
    read: Callable[[SourceFile], tuple[ReadResult, StoredDocument | None]],
    workers: int,
) -> Iterator[tuple[ReadResult, StoredDocument | None]]:
    """Read in several threads, at most 2 * workers files ahead of the consumer, and yield in the listing's order."""
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        ahead: deque[Future[tuple[ReadResult, StoredDocument | None]]] = deque()
        try:
            for file in files:
                ahead.append(pool.submit(read, file))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _batches(
    project: str, results: Iterator[tuple[ReadResult, StoredDocument | None]], *, total: int
) -> Iterator[DocumentBatch]:
    batch, size = _new_batch(project), 0
    for done, (result, stored) in enumerate(results, start=1):
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
        report_progress("raw_documents", done, total, "documents")
        if len(batch.rows) + len(batch.failures) + len(batch.touches) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = _new_batch(project), 0
    yield batch


def _new_batch(project: str) -> DocumentBatch:
    return DocumentBatch(project, figures={"seen": 0, "unchanged": 0, "still_failed": 0})

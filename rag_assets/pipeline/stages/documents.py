"""raw_documents: compare what the source lists with what is known, and read only what differs."""

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
from rag_assets.documents.parsing.parser import Readers, file_type, reader_version
from rag_assets.documents.sources import Source, SourceFile
from rag_assets.documents.text import content_hash
from rag_assets.errors import DocumentError, IntegrityError, SourceError
from rag_assets.pipeline.progress import report
from rag_assets.pipeline.stages.batches import DocumentBatch

BATCH_ROWS = 500
BATCH_BYTES = 8_000_000

Result = DocumentRow | SourceVersionRow | DocumentFailureRow | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of one document."""

    id: UUID
    source_version: str | None
    hash: str | None
    reader: str | None
    failed: bool


def refresh_documents(
    engine: Engine,
    *,
    project: str,
    project_id: UUID,
    source: Source,
    readers: Readers,
    workers: int,
    wait_s: float,
    confirm_deletions: bool = False,
    retry_failed: bool = False,
) -> Iterator[DocumentBatch]:
    """Stream what must change in `documents` for this project to equal its source.

    Raises IntegrityError, before anything is read, where more than half of the known documents would go.
    """
    with hold_lock(engine, f"raw_documents of {project}", wait_s=wait_s):
        known = known_documents(engine, project_id)
        listed = {file.path: file for file in source.list()}
        gone = [k.id for path, k in known.items() if path not in listed]
        if not confirm_deletions:
            _refuse_mass_deletion(project, source.uri, known=len(known), listed=len(listed), gone=len(gone))
        trusted = {path: k for path, k in known.items() if not (retry_failed and k.failed)}
        reading = _Reading(project_id, source, readers, trusted)
        yield from _batched(project, _in_order(listed.values(), reading, workers), total=len(listed))
        for start in range(0, len(gone), BATCH_ROWS):
            yield DocumentBatch(project, deletions=gone[start : start + BATCH_ROWS])


def known_documents(engine: Engine, project_id: UUID) -> dict[str, Known]:
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
        return {path: Known(id_, version, hash_, reader, failed) for path, id_, version, hash_, reader, failed in rows}


def _refuse_mass_deletion(project: str, uri: str, *, known: int, listed: int, gone: int) -> None:
    if not known and not listed:
        raise SourceError(f"{uri} holds no documents; check the path and the --include and --exclude globs.")
    if known and (not listed or gone * 2 > known):
        raise IntegrityError(
            f"{gone} of the {known} documents of project {project} are no longer listed by {uri}; nothing was "
            "deleted. If they are really gone, run again with --confirm-deletions."
        )


class _Reading:
    """Reads one listed file, as far as it must; runs in several threads."""

    def __init__(self, project_id: UUID, source: Source, readers: Readers, known: Mapping[str, Known]) -> None:
        self._project_id = project_id
        self._source = source
        self._readers = readers
        self._known = known

    def __call__(self, file: SourceFile) -> tuple[Result, Known | None]:
        known = self._known.get(file.path)
        reader = reader_version(file.path)
        same_reader = known is not None and known.reader == reader
        if known and same_reader and file.version and known.source_version == file.version:
            return None, known
        failure = DocumentFailureRow(
            id=known.id if known else derive_document_id(self._project_id, file.path),
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
            return failure, known
        digest = sha256(data).hexdigest()
        if known and same_reader and known.hash == digest:
            return SourceVersionRow(known.id, file.version), known
        try:
            read = self._readers.read(file.path, data)
        except DocumentError as error:
            failure.error, failure.hash, failure.source_version = str(error), digest, file.version
            failure.size_bytes = len(data)
            return failure, known
        row = DocumentRow(
            id=failure.id,
            project_id=self._project_id,
            file_path=file.path,
            title=read.title,
            content=read.content,
            content_hash=content_hash(read.content),
            file_type=read.file_type,
            size_bytes=len(data),
            hash=digest,
            source_version=file.version,
            reader=reader,
            metadata=read.metadata,
        )
        return row, known


def _in_order(
    files: Iterable[SourceFile],
    read: Callable[[SourceFile], tuple[Result, Known | None]],
    workers: int,
) -> Iterator[tuple[Result, Known | None]]:
    """Read with several threads, a few files ahead of the taker, and give results in the listing's order."""
    with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
        ahead: deque[Future[tuple[Result, Known | None]]] = deque()
        try:
            for file in files:
                ahead.append(pool.submit(read, file))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _batched(project: str, results: Iterator[tuple[Result, Known | None]], *, total: int) -> Iterator[DocumentBatch]:
    batch, held = DocumentBatch(project, figures={"seen": 0, "unchanged": 0, "still_failed": 0}), 0
    for done, (result, known) in enumerate(results, start=1):
        batch.figures["seen"] += 1
        match result:
            case DocumentRow():
                batch.rows.append(result)
                held += len(result.content)
            case DocumentFailureRow():
                batch.failures.append(result)
            case SourceVersionRow() | None:
                if result is not None:
                    batch.touches.append(result)
                batch.figures["still_failed" if known and known.failed else "unchanged"] += 1
        report("raw_documents", done, total, "documents")
        if len(batch.rows) + len(batch.failures) + len(batch.touches) >= BATCH_ROWS or held >= BATCH_BYTES:
            yield batch
            batch, held = DocumentBatch(project, figures={"seen": 0, "unchanged": 0, "still_failed": 0}), 0
    yield batch

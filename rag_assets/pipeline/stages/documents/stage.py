"""The stage: what the source lists against what is stored, in bounded batches."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, Select, case, select

from rag_assets.db.connections.execute import held_pages
from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document, StagedDocument
from rag_assets.db.spaces.shards import in_shard, path_position
from rag_assets.db.writes.rows import DocumentFailureRow, DocumentRow, SourceVersionRow
from rag_assets.documents.parsing.parser import DocumentParser
from rag_assets.documents.personal_data.step import PersonalDataStep
from rag_assets.documents.sources import Source, SourceFile
from rag_assets.errors import IntegrityError, SourceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.batches import DocumentBatch
from rag_assets.pipeline.stages.documents.attached import AttachedDocuments, StoredDocument
from rag_assets.pipeline.stages.documents.file_reader import FileReader, FileResult
from rag_assets.pipeline.stages.documents.listing import ListingUse, hold_listing
from rag_assets.pipeline.stages.project_isolation import LoadedProject
from rag_assets.settings.settings import Settings

BATCH_ROWS = 500
BATCH_BYTES = 8_000_000
# Of what is stored, as the comparison with a listing reads it.
PAGE_ROWS = 5_000
# Files of a listing: some 60 MB, with what is stored of them.
MOST_IN_MEMORY = 50_000


def read_documents(
    engine: Engine,
    settings: Settings,
    project: LoadedProject,
    source: Source,
    parser: DocumentParser,
    *,
    confirm_deletions: bool = False,
    retry_failed: bool = False,
    listing: ListingUse | None = None,
) -> Iterator[DocumentBatch]:
    """Stream the changes that make the documents of the project, or of its shard, equal to its source.

    Shards share one listing of their source, as `listing` says. That of a large project goes through the database in
    the same way, so that memory does not grow with it.

    Raises IntegrityError, before anything is read, when more than half of the stored documents would be deleted.
    """
    with hold_lock(engine, f"raw_documents of {project.name}", wait_s=settings.lock_wait_s, shard=project.shard):
        options = _Options(settings, project, source, parser, retry_failed)
        listed = _list_in_memory(source) if project.shard.of == 1 else None
        if listed is not None:
            stored = stored_documents(engine, project.id)
            part = _Part(options, stored, listed)
            if not confirm_deletions:
                _refuse_mass_deletion(project.name, source.uri, *part.missing())
            yield from part.refresh(total=len(listed))
            return
        with hold_listing(engine, settings, project, source, listing or ListingUse(str(uuid4()))) as found:
            if not confirm_deletions:
                _refuse_mass_deletion(project.name, source.uri, *found.missing())
            done, total = 0, found.count()
            with closing(_stored_by_position(engine, project)) as rows:
                by_position = _Peekable(rows)
                for positions, listed in found.slices():
                    stored = dict(map(_as_stored, by_position.take_below(positions.stop)))
                    yield from _Part(options, stored, listed).refresh(done, total)
                    done += len(listed)


def _list_in_memory(source: Source) -> dict[str, SourceFile] | None:
    """The files of a source by path; None for one that has more than should be in memory."""
    listed: dict[str, SourceFile] = {}
    for file in source.list():
        if len(listed) >= MOST_IN_MEMORY:
            return None
        listed[file.path] = file
    return listed


@dataclass(frozen=True, slots=True)
class _Options:
    settings: Settings
    project: LoadedProject
    source: Source
    parser: DocumentParser
    retry_failed: bool


class _Part:
    """Documents that are compared with their source together: all of a project, or a slice of a shard."""

    def __init__(self, options: _Options, stored: dict[str, StoredDocument], listed: dict[str, SourceFile]) -> None:
        self._options = options
        self._stored, self._listed = stored, listed
        own = options.project.settings
        exclude = (*own.exclude, *own.forgotten)
        enabled = options.settings.mail_attachments
        self._attached = attached = AttachedDocuments(
            stored, listed, enabled=enabled, exclude=exclude, is_current=personal_data_step(options.settings).is_current
        )
        self._lost = [path for path in stored if path not in listed and not attached.is_held(path)]

    def missing(self) -> tuple[int, int, int]:
        """How many files are stored, how many are listed, and how many are stored but not listed."""
        # Attachments are deleted with their mail: only files count.
        attached = self._attached
        files = sum(not attached.is_attachment(path) for path in self._stored)
        gone = sum(not attached.is_attachment(path) for path in self._lost)
        return files, len(self._listed), gone

    def refresh(self, done: int = 0, total: int = 0) -> Iterator[DocumentBatch]:
        options, stored, attached = self._options, self._stored, self._attached
        comparable = {
            path: document for path, document in stored.items() if not (options.retry_failed and document.failed)
        }
        project = options.project
        reader = FileReader(
            project.id,
            options.source,
            options.parser,
            stored,
            comparable,
            attached,
            personal_data_step(options.settings),
        )
        results = _read_in_order(self._listed.values(), reader, options.settings.parse_workers)
        yield from _batches(project.key, results, before=done, total=total)
        for start in range(0, len(self._lost), BATCH_ROWS):
            deletions = [stored[path].id for path in self._lost[start : start + BATCH_ROWS]]
            yield DocumentBatch(project.key, deletions=deletions)


class _Peekable:
    """Rows in the order of their positions, which come last in each."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._next: Any = None

    def take_below(self, end: int) -> Iterator[Any]:
        while (row := self._next or next(self._rows, None)) is not None:
            self._next = row
            if row[-1] >= end:
                return
            self._next = None
            yield row


def stored_documents(engine: Engine, project_id: UUID) -> dict[str, StoredDocument]:
    """The project's documents by file path, as they were last read: a next version counts, where there is one."""
    with autocommit_connection(engine) as connection:
        return dict(map(_as_stored, connection.execute(_select_stored().where(Document.project_id == project_id))))


def _stored_by_position(engine: Engine, project: LoadedProject) -> Generator[Any]:
    """Of the shard, with the position of each, in their order; not in memory, and in no transaction."""
    position = path_position(Document.file_path)
    statement = (
        _select_stored()
        .add_columns(position)
        .where(Document.project_id == project.id, in_shard(project.shard))
        .order_by(position)
    )
    for page in held_pages(engine, statement, "stored_documents", PAGE_ROWS):
        yield from page


def _select_stored() -> Select[Any]:
    read: tuple[tuple[Any, ...], ...] = tuple(
        (version.source_version, version.hash, version.reader, version.parse_report["attachments"])
        for version in (Document, StagedDocument)
    )
    is_read = StagedDocument.id.is_(None)
    last_read = (case((is_read, own), else_=staged) for own, staged in zip(*read, strict=True))
    own_access = (Document.readers, Document.readers_error)
    columns = (Document.file_path, Document.id, Document.status == "failed", *last_read, *own_access)
    return select(*columns).outerjoin(StagedDocument, StagedDocument.id == Document.id)


def _as_stored(row: Any) -> tuple[str, StoredDocument]:
    path, id_, failed, version, hash_, reader, attached, readers, readers_error = row[:9]
    return path, StoredDocument(id_, version, hash_, reader, failed, tuple(attached or ()), readers, readers_error)


def personal_data_step(settings: Settings) -> PersonalDataStep:
    return PersonalDataStep(settings.personal_data, settings.personal_data_kinds, settings.personal_data_region)


def _refuse_mass_deletion(project: str, uri: str, stored: int, listed: int, gone: int) -> None:
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


def _batches(project: str, results: Iterator[FileResult], *, before: int, total: int) -> Iterator[DocumentBatch]:
    batch, size = _new_batch(project), 0
    for done, found in enumerate(results, start=before + 1):
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
        batch.readers += found.readers
        report_progress("raw_documents", done, total, "documents")
        rows = len(batch.rows) + len(batch.failures) + len(batch.touches) + len(batch.readers) + len(batch.deletions)
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = _new_batch(project), 0
    yield batch


def _new_batch(project: str) -> DocumentBatch:
    return DocumentBatch(project, figures={"seen": 0, "unchanged": 0, "still_failed": 0})

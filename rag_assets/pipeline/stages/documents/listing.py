"""The listing of a project with shards: listed part by part into the database, once for all shards of a backfill.

It is never in memory as a whole. A part that was listed is not listed again, and several processes share the parts.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from rag_assets.db.database import autocommit_connection
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import Document, ListedFile, ListingPart, SourceListing
from rag_assets.db.spaces.shards import holding_file
from rag_assets.db.writes.copy import copy_listed_files
from rag_assets.documents.shards import position_of
from rag_assets.documents.sources import Source, SourceFile
from rag_assets.documents.sources.base import list_part, listing_parts
from rag_assets.errors import BusyError, ServiceError
from rag_assets.pipeline.progress import report_progress
from rag_assets.pipeline.stages.project_isolation import LoadedProject
from rag_assets.settings.settings import Settings

# About so many files of a shard are in memory at a time, with what is stored of them.
SLICE_FILES = 20_000
PAGE_FILES = 5_000
# A listing whose shards were not all refreshed is deleted after this time.
KEPT = timedelta(days=1)
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class ListingUse:
    """`wanted_by` is the backfill or run whose shards share a listing; after the `last` of them it is deleted.

    Without `last`, it is deleted when all shards of the project are done with it.
    """

    wanted_by: str
    last: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete listing; it stays while it is held."""

    engine: Engine
    id: UUID
    project: LoadedProject

    def slices(self) -> Iterator[tuple[range, dict[str, SourceFile]]]:
        """The files of the shard, by ranges of positions, in order; raises ServiceError if the listing is lost."""
        positions = self.project.shard.positions
        files = self._count(positions)
        number = max(1, -(-files // SLICE_FILES))
        step = -(-len(positions) // number)
        for start in range(positions.start, positions.stop, step):
            part = range(start, min(start + step, positions.stop))
            yield part, self._files(part)

    def count(self) -> int:
        """The number of files of the shard."""
        return self._count(self.project.shard.positions)

    def missing(self) -> tuple[int, int, int]:
        """Over all shards: how many files are stored, how many are listed, and how many are stored but not listed."""
        file = holding_file(Document.file_path)
        # Joins, which stay in proportion to the rows at any size: subqueries for each document are asked of the whole
        # listing once it is larger than the memory of a hash table.
        listed = select(ListedFile.file_path).where(ListedFile.listing_id == self.id).distinct().cte("listed")
        itself, its_file, holder = listed.alias("itself"), listed.alias("its_file"), aliased(Document)
        is_attached = (file != Document.file_path) & itself.c.file_path.is_(None) & holder.id.is_not(None)
        is_listed = itself.c.file_path.is_not(None) | its_file.c.file_path.is_not(None)
        counts = (
            select(func.count(), func.count().filter(~is_listed))
            .select_from(Document)
            .outerjoin(itself, itself.c.file_path == Document.file_path)
            .outerjoin(its_file, its_file.c.file_path == file)
            .outerjoin(holder, (holder.project_id == self.project.id) & (holder.file_path == file))
            .where(Document.project_id == self.project.id, ~is_attached)
        )
        with autocommit_connection(self.engine) as connection:
            files, gone = connection.execute(counts).one()
            total = connection.scalar(select(func.sum(ListingPart.files)).where(ListingPart.listing_id == self.id))
            self._check(connection)
        return files, int(total or 0), gone

    def _files(self, positions: range) -> dict[str, SourceFile]:
        file = ListedFile
        columns = file.file_path, file.version, file.size_bytes, file.readers, file.readers_error
        with autocommit_connection(self.engine) as connection:
            rows = connection.execute(self._in(positions, *columns)).all()
            # Afterwards: had the server crashed before, no file would be there, and all documents would seem deleted.
            self._check(connection)
        return {
            path: SourceFile(path, version, size, None if readers is None else tuple(readers), error)
            for path, version, size, readers, error in sorted(rows, key=lambda row: row[0])
        }

    def _count(self, positions: range) -> int:
        with autocommit_connection(self.engine) as connection:
            return connection.scalar(self._in(positions, func.count())) or 0

    def _in(self, positions: range, *columns: Any) -> Any:
        return select(*columns).where(
            ListedFile.listing_id == self.id,
            ListedFile.position >= positions.start,
            ListedFile.position < positions.stop,
        )

    def _check(self, connection: Connection) -> None:
        if not connection.scalar(select(exists().where(SourceListing.id == self.id))):
            raise ServiceError(
                f"the listing of project {self.project.name} was lost, as after a crash of the database's server; "
                "run again."
            )


@contextmanager
def hold_listing(
    engine: Engine, settings: Settings, project: LoadedProject, source: Source, use: ListingUse
) -> Iterator[Listing]:
    """The listing that the shards of this backfill or run share; completes it first, together with other processes."""
    _delete_old(engine, project)
    while True:
        id_ = _find_or_create(engine, project, use.wanted_by)
        with hold_lock(engine, _lock(id_), wait_s=settings.lock_wait_s, shared=True):
            with autocommit_connection(engine) as connection:
                if not connection.scalar(select(exists().where(SourceListing.id == id_))):
                    continue
            _list_parts(engine, settings, source, id_)
            yield Listing(engine, id_, project)
        break
    if use.last:
        _delete_unused(engine, id_)
    else:
        _note_read(engine, project, id_)


def _lock(id_: UUID) -> str:
    return f"listing {id_}"


def _find_or_create(engine: Engine, project: LoadedProject, wanted_by: str) -> UUID:
    own = project.settings
    selection = repr((project.source_uri, own.include, own.exclude, own.forgotten))
    key = {
        "project_id": project.id,
        "selection": sha256(selection.encode()).hexdigest(),
        "wanted_by": wanted_by,
    }
    with engine.begin() as connection:
        connection.execute(insert(SourceListing).values(**key).on_conflict_do_nothing())
        return connection.scalars(select(SourceListing.id).filter_by(**key)).one()


def _list_parts(engine: Engine, settings: Settings, source: Source, id_: UUID) -> None:
    of_listing = ListingPart.listing_id == id_
    with autocommit_connection(engine) as connection:
        is_split = connection.scalar(select(exists().where(of_listing)))
    if not is_split:
        with hold_lock(engine, f"parts of {_lock(id_)}", wait_s=settings.lock_wait_s), engine.begin() as connection:
            if not connection.scalar(select(exists().where(of_listing))):
                rows = [
                    {"listing_id": id_, "number": number, "prefix": prefix}
                    for number, prefix in enumerate(listing_parts(source))
                ]
                connection.execute(insert(ListingPart), rows)
    moved_at, left_before = time.monotonic(), -1
    while True:
        undone = select(ListingPart.number, ListingPart.prefix).where(of_listing, ListingPart.files.is_(None))
        with autocommit_connection(engine) as connection:
            parts = connection.execute(undone.order_by(ListingPart.number)).all()
        if not parts:
            return
        if len(parts) != left_before:
            moved_at, left_before = time.monotonic(), len(parts)
        for number, prefix in parts:
            try:
                with hold_lock(engine, f"part {number} of {_lock(id_)}", wait_s=0):
                    _list_into(engine, source, id_, number, prefix)
                    moved_at = time.monotonic()
            except BusyError:
                # Another process lists it.
                continue
        if time.monotonic() - moved_at > settings.lock_wait_s:
            raise BusyError(
                f"another process has listed a part of {source.uri} for more than {settings.lock_wait_s:g} s; "
                "wait for it to end (or end it), then run again."
            )
        time.sleep(_POLL_S)


def _list_into(engine: Engine, source: Source, id_: UUID, number: int, prefix: str) -> None:
    part = (ListingPart.listing_id == id_) & (ListingPart.number == number)
    with engine.begin() as connection:
        started, files = connection.execute(select(ListingPart.started, ListingPart.files).where(part)).one()
        if files is not None:
            return
        if started:
            # What a process has left that was killed.
            connection.execute(delete(ListedFile).where(ListedFile.listing_id == id_, ListedFile.part == number))
        connection.execute(update(ListingPart).where(part).values(started=True))
    count = 0
    listed = list_part(source, prefix)
    while page := list(islice(listed, PAGE_FILES)):
        rows = (
            (
                *(id_, position_of(file.path), number, file.size_bytes, file.path, file.version),
                *(None if file.readers is None else list(file.readers), file.readers_error),
            )
            for file in page
        )
        with engine.begin() as connection:
            copy_listed_files(connection, rows)
        count += len(page)
        report_progress("raw_documents", 0, count, "files listed")
    with engine.begin() as connection:
        connection.execute(update(ListingPart).where(part).values(files=count))


def _note_read(engine: Engine, project: LoadedProject, id_: UUID) -> None:
    """Note that the shard is done with the listing, and delete it after the last one."""
    of_listing = SourceListing.id == id_
    with engine.begin() as connection:
        connection.execute(
            update(SourceListing)
            .where(of_listing, func.array_position(SourceListing.read_by, project.shard.suffix).is_(None))
            .values(read_by=func.array_append(SourceListing.read_by, project.shard.suffix))
        )
        read_by = connection.scalar(select(func.cardinality(SourceListing.read_by)).where(of_listing))
    if read_by is not None and read_by >= project.shard.of:
        _delete_unused(engine, id_)


def _delete_old(engine: Engine, project: LoadedProject) -> None:
    with autocommit_connection(engine) as connection:
        old = connection.scalars(
            select(SourceListing.id).where(
                SourceListing.project_id == project.id, SourceListing.created_at < func.now() - literal(KEPT)
            )
        ).all()
    for id_ in old:
        _delete_unused(engine, id_)


def _delete_unused(engine: Engine, id_: UUID) -> None:
    try:
        with hold_lock(engine, _lock(id_), wait_s=0), engine.begin() as connection:
            connection.execute(delete(ListedFile).where(ListedFile.listing_id == id_))
            connection.execute(delete(SourceListing).where(SourceListing.id == id_))
    except BusyError:
        # A shard is refreshed once more; a later run deletes it.
        return

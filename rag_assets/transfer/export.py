"""Write the vectors of a space into a Parquet file, part by part, so that a killed export goes on where it was."""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, LargeBinary, cast, func, select
from sqlalchemy.orm import Session

from rag_assets.db.database import autocommit_connection
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.checksums import checksum
from rag_assets.db.spaces.partitions import count_vectors, has_partition, partition
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.spaces.text_kinds import check_kind, text_source
from rag_assets.db.spaces.vector_codec import unpack_vector
from rag_assets.errors import BusyError, ServiceError, UsageError
from rag_assets.pipeline.progress import report_progress
from rag_assets.transfer.vector_file import definition_of, file_schema

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 20_000
_PAGE_ROWS = 1_000
# Parts of an export that was given up may have texts that were deleted since.
_PARTS_MAX_AGE_S = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """The fields are the keys of `rag-assets export --json`; `resumed` vectors were written before an interruption."""

    file: str
    space: int
    kind: str
    model: str
    dimensions: int
    vectors: int
    resumed: int
    bytes: int


def find_exported_space(engine: Engine, kind: str = "chunks", space_id: int | None = None) -> EmbeddingSpace:
    """The space with this number, or the live one of the kind. Raises UsageError where there is none with vectors."""
    check_kind(kind)
    with Session(engine, expire_on_commit=False) as session:
        found = (
            get_live_space(session.connection(), kind) if space_id is None else session.get(EmbeddingSpace, space_id)
        )
        has_vectors = found is not None and has_partition(session.connection(), found.id)
    if found is None and space_id is None:
        raise ServiceError(f"there is nothing to export yet: no space of {kind} is live; run rag-assets ingest first.")
    if found is None or not has_vectors:
        raise UsageError(f"there is no space {space_id} with vectors; choose one of `rag-assets spaces list`.")
    return found


def export_vectors(engine: Engine, space: EmbeddingSpace, file: Path) -> ExportedFile:
    """Write all vectors of texts in use, in the order of their hashes; the file appears when it is whole.

    Until then they are in parts in the folder `FILE.partial`, from which a later export of the same space goes on.
    """
    import pyarrow.parquet as pq

    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UsageError(f"{file} cannot be written: it is a folder, or in none; name a file like vectors.parquet.")
    folder = file.with_name(f"{file.name}.partial")
    schema = file_schema(definition_of(space), export=f"{space.id} {space.created_at.isoformat()}")
    with _own_folder(folder):
        parts, last, resumed = _kept_parts(folder, schema)
        with autocommit_connection(engine) as connection:
            total, done = count_vectors(connection, space), resumed
            while (table := _next_part(connection, space, schema, last)) is not None:
                part = folder / f"{len(parts):06}.parquet"
                _write_whole(part, [table], schema)
                parts.append(part)
                last = table["content_hash"][-1].as_py()
                done += table.num_rows
                report_progress("export", done, max(done, total), "vectors")
        _write_whole(file, (pq.read_table(part) for part in parts), schema)
    shutil.rmtree(folder)
    return ExportedFile(
        file=str(file),
        space=space.id,
        kind=space.kind,
        model=space.model,
        dimensions=space.dimensions,
        vectors=done,
        resumed=resumed,
        bytes=file.stat().st_size,
    )


def _next_part(connection: Connection, space: EmbeddingSpace, schema: "pa.Schema", last: bytes) -> "pa.Table | None":
    """The vectors after the text `last`; None after the end."""
    import pyarrow as pa

    pages: list[pa.RecordBatch] = []
    rows = 0
    while rows < PART_ROWS:
        found = connection.execute(_page(space, last)).all()
        if not found:
            break
        last = bytes(found[-1].content_hash)
        with_text = [row for row in found if row.content is not None]
        if with_text:
            pages.append(_to_batch(with_text, schema))
        rows += len(with_text)
    return pa.Table.from_batches(pages, schema) if pages else None


def _page(space: EmbeddingSpace, last: bytes) -> Any:
    stored, texts = partition(space.id), text_source(space)
    content = select(texts.content).where(texts.content_hash == stored.c.content_hash, texts.in_use).limit(1)
    sum_ = func.coalesce(stored.c.checksum, checksum(stored.c.content_hash, stored.c.embedding, space.dimensions))
    return (
        select(
            stored.c.content_hash,
            content.scalar_subquery().label("content"),
            cast(func.vector_send(stored.c.embedding), LargeBinary).label("vector"),
            sum_.label("checksum"),
        )
        .where(stored.c.space_id == space.id, stored.c.content_hash > last)
        .order_by(stored.c.content_hash)
        .limit(_PAGE_ROWS)
    )


def _to_batch(rows: list[Any], schema: "pa.Schema") -> "pa.RecordBatch":
    import numpy as np
    import pyarrow as pa

    type_ = schema.field("vector").type
    numbers = np.concatenate([unpack_vector(bytes(row.vector)) for row in rows])
    columns = [
        pa.array([bytes(row.content_hash) for row in rows], schema.field("content_hash").type),
        pa.array([row.content for row in rows], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(numbers, pa.float32()), type=type_),
        pa.array([row.checksum for row in rows], pa.float64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _write_whole(file: Path, tables: Any, schema: "pa.Schema") -> None:
    """Write a file that appears under its name only when it is whole."""
    import pyarrow.parquet as pq

    unfinished = file.with_name(f"{file.name}.new")
    try:
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table.cast(schema))
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(file)


def _kept_parts(folder: Path, schema: "pa.Schema") -> tuple[list[Path], bytes, int]:
    """The parts that an interrupted export of this space has left, the last hash in them, and how many vectors."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts: list[Path] = []
    last, rows = b"", 0
    for part in sorted(folder.glob("*.parquet")):
        try:
            is_ours = pq.read_schema(part).metadata == schema.metadata and part.name == f"{len(parts):06}.parquet"
            if is_ours and time.time() - part.stat().st_mtime < _PARTS_MAX_AGE_S:
                hashes = pq.read_table(part, columns=["content_hash"])["content_hash"]
                last, rows = hashes[-1].as_py(), rows + len(hashes)
                parts.append(part)
                continue
        except (pa.ArrowException, OSError):
            pass
        break
    for other in sorted(folder.glob("*.parquet*")):
        if other not in parts:
            other.unlink()
    return parts, last, rows


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"another export writes {folder.name.removesuffix('.partial')} at this moment; wait for it, or name "
                "another file."
            ) from None
        yield

"""Checks of a space's vectors: complete, without orphans, sound."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, and_, exists, func, select, true

from rag_assets.db.models import DocumentChunk, EmbeddingFailure, EmbeddingSpace
from rag_assets.db.reports.costs import find_pause
from rag_assets.db.reports.set_aside_texts import find_texts_set_aside
from rag_assets.db.spaces.checksums import unsound_conditions
from rag_assets.db.spaces.partitions import count_vectors, partition
from rag_assets.db.spaces.pending import count_pending_texts, count_texts, has_text_in_use
from rag_assets.db.spaces.remote_batches import count_texts_in_batches
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.spaces.text_kinds import ALL_CHUNKS, SINGULAR, text_source
from rag_assets.db.writes.invalidate import id_in
from rag_assets.db.writes.kept_counts import count_space_vectors
from rag_assets.embedding.remote.names import is_remote
from rag_assets.pipeline.audit.documents import count_stamped_chunks
from rag_assets.pipeline.audit.result import EXAMPLES, CheckResult, rows_read


def texts_have_vectors(
    engine: Engine,
    space: EmbeddingSpace,
    *,
    expected: ColumnElement[bool] | None = None,
    projects: Sequence[str] | None = None,
    part: Sequence[UUID] | None = None,
) -> CheckResult:
    """Every distinct text has a vector; the primary key allows only one.

    It warns where a server refuses texts for what they say: the others are served, and the next run tries these again.
    It also warns while texts wait in batches at the server.
    `expected` is a condition on the texts that must have one: those of some projects, or that arrived before a run.
    `part` are the documents of `projects` whose texts are read; with None, all.
    """
    if part is not None:
        of_part = id_in(ALL_CHUNKS.c.document_id, part)
        expected = and_(of_part, true() if expected is None else expected)
    with engine.connect() as connection:
        texts, missing = (
            connection.scalar(count if expected is None else count.where(expected)) or 0
            for count in (count_texts(space), count_pending_texts(space))
        )
        set_aside = find_texts_set_aside(connection, space, limit=EXAMPLES)
        refused = _count_refused(connection, space, expected) if missing and is_remote(space.model) else 0
        waiting = count_texts_in_batches(connection, space, expected) if missing and is_remote(space.model) else 0
        paused = find_pause(connection, space.id) if missing else None
        if part is None:
            read = total = texts
        else:
            # Chunks, since counting the distinct texts of all would read all.
            chunks = select(func.count(DocumentChunk.id)).where(DocumentChunk.chunking == space.chunking)
            read = connection.scalar(chunks.where(id_in(DocumentChunk.document_id, part))) or 0
            total = count_stamped_chunks(connection, space.chunking, projects)
    return CheckResult(
        missing == 0,
        {
            "space": space.id,
            "texts": texts,
            "missing": missing,
            "threshold": 0,
            "set_aside": set_aside,
            **rows_read(read, total),
        }
        | ({"refused": refused} if refused else {})
        | ({"in_batches": waiting} if waiting else {})
        | ({"paused": paused} if paused is not None else {}),
        f"{missing} of {texts} distinct texts have no vector{_why_missing(missing, refused, waiting, paused)}",
        warning=0 < missing == refused + waiting and refused < texts,
    )


def _why_missing(missing: int, refused: int, waiting: int, paused: str | None) -> str:
    if paused is not None and refused + waiting < missing:
        return f": {paused}"
    of_refused = f", {refused} of them refused by the model's server" if refused else ""
    return of_refused + (f"; {describe_waiting(waiting)}" if waiting else "")


def describe_waiting(texts: int) -> str:
    return f"{texts} wait in batches at the embedding server, which a later run fetches"


def _count_refused(connection: Connection, space: EmbeddingSpace, expected: ColumnElement[bool] | None) -> int:
    """The texts without a vector that the model's server has refused."""
    failed = is_refused(space, text_source(space).content_hash)
    condition = failed if expected is None else and_(failed, expected)
    return connection.scalar(count_pending_texts(space).where(condition)) or 0


def is_refused(space: EmbeddingSpace, content_hash: Any) -> ColumnElement[bool]:
    """Whether the text with this hash has no vector because the model failed on it."""
    failed = exists().where(EmbeddingFailure.space_id == space.id, EmbeddingFailure.content_hash == content_hash)
    return and_(failed, ~exists().where(partition(space.id).c.content_hash == content_hash))


def nothing_is_lost(engine: Engine, space: EmbeddingSpace) -> CheckResult:
    """Every text that searches find in the live space has a vector in this one too.

    For messages and memories this is enough: new ones arrive while runs are under way.
    """
    with engine.connect() as connection:
        live = get_live_space(connection, space.kind)
        if live is None:
            return CheckResult(True, {"space": space.id})
        found = exists().where(partition(live.id).c.content_hash == text_source(space).content_hash)
        texts = connection.scalar(count_texts(space).where(found)) or 0
        lost = connection.scalar(count_pending_texts(space).where(found)) or 0
    return CheckResult(
        lost == 0,
        {"space": space.id, "live": live.id, "texts": texts, "lost": lost, "threshold": 0},
        f"{lost} of {texts} texts that searches find now have no vector in it yet",
    )


def no_orphan_vectors(
    engine: Engine, space: EmbeddingSpace, *, at: datetime | None = None, part: FromClause | None = None
) -> CheckResult:
    """Every vector belongs to a text in use; with `at`, also to a text that was in use at that time.

    `part` are the rows of the partition that are read; with None, all.
    """
    read = partition(space.id) if part is None else part
    is_orphan = ~has_text_in_use(space, read.c.content_hash, at)
    with engine.connect() as connection:
        checked, orphans = connection.execute(
            select(func.count(), func.count().filter(is_orphan)).select_from(read)
        ).one()
        # Through the partitioned table: of a partition that was lost there is none.
        vectors = count_vectors(connection, space) if part is None else count_space_vectors(engine, space)
        # Where there is no orphan, and texts_have_vectors passed, it is the number of vectors.
        texts = connection.scalar(count_texts(space)) or 0 if part is None else vectors
    return CheckResult(
        orphans == 0,
        {
            "space": space.id,
            "texts": texts,
            "vectors": vectors,
            "orphans": orphans,
            "threshold": 0,
            **rows_read(checked, vectors),
        },
        f"{orphans} of {vectors} vectors belong to no {SINGULAR.get(space.kind, f'row of {space.kind}')}",
    )


def vectors_are_sound(engine: Engine, space: EmbeddingSpace, *, part: FromClause | None = None) -> CheckResult:
    """Right dimensions, no NaN, not zero, length 1 if the space normalizes, and still the vector stored for its text.

    `without_checksum` counts vectors stored before there were checksums; the last point is not checked for them.
    `part` are the rows of the partition that are read; with None, all.
    """
    stored = partition(space.id) if part is None else part
    norm = func.vector_norm(stored.c.embedding)
    faults = unsound_conditions(space, stored)
    counts = [func.count().filter(condition).label(name) for name, condition in faults.items()]
    with engine.connect() as connection:
        row = connection.execute(
            select(
                func.count().label("vectors"),
                func.min(norm).label("norm_min"),
                func.max(norm).label("norm_max"),
                (func.count() - func.count(stored.c.checksum)).label("without_checksum"),
                *counts,
            ).select_from(stored)
        ).one()
    total = row.vectors if part is None else count_space_vectors(engine, space)
    wrong = sum(getattr(row, name) for name in faults)
    numbers: dict[str, Any] = {name: getattr(row, name) for name in faults}
    return CheckResult(
        wrong == 0,
        {
            "space": space.id,
            "vectors": total,
            "dimensions": space.dimensions,
            "norm_min": row.norm_min,
            "norm_max": row.norm_max,
            "without_checksum": row.without_checksum,
            "threshold": 0,
            **numbers,
            **rows_read(row.vectors, total),
        },
        f"{wrong} of {total} vectors are not sound "
        f"({', '.join(f'{number} {name}' for name, number in numbers.items() if number)})",
    )

"""What is true of a space's vectors: complete, none too many, sound."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Engine, exists, func, select

from rag_assets.db.models import EmbeddingFailure, EmbeddingSpace
from rag_assets.db.spaces.checksums import unsound_conditions
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.pending import count_pending_texts, count_texts, has_text_in_use
from rag_assets.db.spaces.spaces import get_live_space
from rag_assets.db.spaces.text_kinds import text_source
from rag_assets.pipeline.audit.result import EXAMPLES, Finding

if TYPE_CHECKING:
    pass

_ONE_OF = {"chunks": "chunk", "messages": "message", "memories": "memory"}


def texts_have_vectors(engine: Engine, space: EmbeddingSpace, *, due: ColumnElement[bool] | None = None) -> Finding:
    """Every distinct text has its vector; the primary key allows only one.

    `due` is a condition on texts whose vectors may be expected: those of some projects, or that came before a run.
    """
    reasons = (
        select(EmbeddingFailure.error)
        .where(EmbeddingFailure.space_id == space.id)
        .where(has_text_in_use(space, EmbeddingFailure.content_hash))
        .limit(EXAMPLES)
    )
    with engine.connect() as connection:
        texts, missing = (
            connection.scalar(count if due is None else count.where(due)) or 0
            for count in (count_texts(space), count_pending_texts(space))
        )
        set_aside = connection.scalars(reasons).all()
    return Finding(
        missing == 0,
        {"space": space.id, "texts": texts, "missing": missing, "threshold": 0, "set_aside": list(set_aside)},
        f"{missing} of {texts} distinct texts have no vector",
    )


def nothing_is_lost(engine: Engine, space: EmbeddingSpace) -> Finding:
    """Every text that searches find in the live space has its vector in this one too.

    More is not asked of messages and memories, which come in while runs are on their way.
    """
    with engine.connect() as connection:
        live = get_live_space(connection, space.kind)
        if live is None:
            return Finding(True, {"space": space.id})
        found = exists().where(partition(live.id).c.content_hash == text_source(space).content_hash)
        texts = connection.scalar(count_texts(space).where(found)) or 0
        lost = connection.scalar(count_pending_texts(space).where(found)) or 0
    return Finding(
        lost == 0,
        {"space": space.id, "live": live.id, "texts": texts, "lost": lost, "threshold": 0},
        f"{lost} of {texts} texts that are found now have no vector in it yet",
    )


def no_orphan_vectors(engine: Engine, space: EmbeddingSpace, *, at: datetime | None = None) -> Finding:
    """No vector is left that no text points to: vectors and distinct texts are equal in number.

    With a time, texts count that were in use then, and so could not be known to leave.
    """
    vectors_of = partition(space.id)
    with engine.connect() as connection:
        texts = connection.scalar(count_texts(space)) or 0
        vectors = connection.scalar(select(func.count()).select_from(vectors_of)) or 0
        orphans = (
            connection.scalar(
                select(func.count())
                .select_from(vectors_of)
                .where(~has_text_in_use(space, vectors_of.c.content_hash, at))
            )
            or 0
        )
    return Finding(
        orphans == 0,
        {"space": space.id, "texts": texts, "vectors": vectors, "orphans": orphans, "threshold": 0},
        f"{orphans} of {vectors} vectors belong to no {_ONE_OF.get(space.kind, f'row of {space.kind}')}",
    )


def vectors_are_sound(engine: Engine, space: EmbeddingSpace) -> Finding:
    """Right dimensions, no NaN, none zero, length 1 where the space normalizes, each still the one of its text.

    `without_checksum` are those that were stored before there were checksums, of which the last cannot be said.
    """
    vectors_of = partition(space.id)
    norm = func.vector_norm(vectors_of.c.embedding)
    bad = unsound_conditions(space, vectors_of)
    counts = [func.count().filter(condition).label(name) for name, condition in bad.items()]
    with engine.connect() as connection:
        row = connection.execute(
            select(
                func.count().label("vectors"),
                func.min(norm).label("norm_min"),
                func.max(norm).label("norm_max"),
                (func.count() - func.count(vectors_of.c.checksum)).label("without_checksum"),
                *counts,
            ).select_from(vectors_of)
        ).one()
    wrong = sum(getattr(row, name) for name in bad)
    numbers: dict[str, Any] = {name: getattr(row, name) for name in bad}
    return Finding(
        wrong == 0,
        {
            "space": space.id,
            "vectors": row.vectors,
            "dimensions": space.dimensions,
            "norm_min": row.norm_min,
            "norm_max": row.norm_max,
            "without_checksum": row.without_checksum,
            "threshold": 0,
            **numbers,
        },
        f"{wrong} of {row.vectors} vectors are not sound "
        f"({', '.join(f'{number} {name}' for name, number in numbers.items() if number)})",
    )

"""Vectors that a space takes over from another one, in the database: what a model has embedded, it embeds only once."""

from collections.abc import Sequence
from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.checksums import checksum
from rag_assets.db.spaces.partitions import partition
from rag_assets.embedding.model import document_prompt


def adopt(connection: Connection, space: EmbeddingSpace, pending: Select[Any]) -> None:
    """Take over what other spaces have of the `pending` texts' vectors.

    From a space of the same model and dimensions as they are; from one that keeps more of them, what the model would
    have made: the first dimensions, brought to length 1 where the space wants that.
    """
    for source in adoptable(connection, space):
        stored, wanted = partition(source.id), pending.subquery()
        vector, proof = _taken_over(space, source, stored.c)
        found = (
            select(literal_column(str(int(space.id))), stored.c.content_hash, vector, proof)
            .join(wanted, wanted.c.content_hash == stored.c.content_hash)
            # A text whose first dimensions say nothing is left to the model, and to be set aside.
            .where(func.vector_norm(vector) > 0)
        )
        names = ["space_id", "content_hash", "embedding", "checksum"]
        connection.execute(insert(partition(space.id)).from_select(names, found).on_conflict_do_nothing())


def adoptable(connection: Connection, space: EmbeddingSpace) -> Sequence[EmbeddingSpace]:
    """The other spaces whose vectors this one can take over, first those that have them as they are."""
    kept = select(EmbeddingSpace).where(EmbeddingSpace.status != "retired").order_by(EmbeddingSpace.id)
    with Session(bind=connection, expire_on_commit=False) as session:
        others = [other for other in session.scalars(kept) if other.id != space.id and _can_adopt(space, other)]
    return sorted(others, key=lambda other: not _as_they_are(space, other))


def _can_adopt(space: EmbeddingSpace, other: EmbeddingSpace) -> bool:
    # The prompt of questions changes no stored vector.
    if _made_by(space) != _made_by(other):
        return False
    if space.kind == other.kind == "chunks":
        return other.dimensions >= space.dimensions and (space.normalize or not other.normalize)
    # A text that is embedded whole may have the mean of its pieces' vectors, which cannot be shortened after the fact.
    pieces = space.chunking_settings == other.chunking_settings
    return "chunks" not in (space.kind, other.kind) and pieces and _as_they_are(space, other)


def _made_by(space: EmbeddingSpace) -> tuple[str, str, int, str]:
    return space.model, space.revision, space.max_tokens, document_prompt(space.prompts)


def _as_they_are(space: EmbeddingSpace, other: EmbeddingSpace) -> bool:
    return (other.dimensions, other.normalize) == (space.dimensions, space.normalize)


def _taken_over(
    space: EmbeddingSpace, source: EmbeddingSpace, stored: Any
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The vector, and the number that proves it, as this space has them."""
    if _as_they_are(space, source):
        return stored.embedding, stored.checksum
    first = func.subvector(stored.embedding, 1, space.dimensions, type_=VECTOR())
    vector = func.l2_normalize(first, type_=VECTOR()) if space.normalize else first
    return vector, checksum(stored.content_hash, vector, space.dimensions)

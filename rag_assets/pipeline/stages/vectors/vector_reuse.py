"""Copy vectors that another space has already computed, inside the database: a model embeds no text twice."""

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
from rag_assets.embedding.remote.names import DOCUMENT_TYPE, SERVER, TOKENIZER_SOURCE


def reuse_vectors(connection: Connection, space: EmbeddingSpace, pending: Select[Any]) -> None:
    """Copy the vectors that other spaces hold for the `pending` texts.

    They are copied unchanged from a space with the same model and dimensions. From a space with more dimensions, the
    first ones are taken, as the model would, and normalized to length 1 if this space normalizes.
    """
    for source in reusable_spaces(connection, space):
        stored, wanted = partition(source.id), pending.subquery()
        vector, vector_checksum = _derive_vector(space, source, stored.c)
        found = (
            select(literal_column(str(int(space.id))), stored.c.content_hash, vector, vector_checksum)
            .join(wanted, wanted.c.content_hash == stored.c.content_hash)
            # A text whose first dimensions are all zero is left to the model, which sets it aside with the reason.
            .where(func.vector_norm(vector) > 0)
            # In one order: two runs with the same texts must not wait for each other.
            .order_by(stored.c.content_hash)
        )
        names = ["space_id", "content_hash", "embedding", "checksum"]
        connection.execute(insert(partition(space.id)).from_select(names, found).on_conflict_do_nothing())


def reusable_spaces(connection: Connection, space: EmbeddingSpace) -> Sequence[EmbeddingSpace]:
    """The other spaces whose vectors this one can copy; those that need no conversion come first."""
    kept = select(EmbeddingSpace).where(EmbeddingSpace.status != "retired").order_by(EmbeddingSpace.id)
    with Session(bind=connection, expire_on_commit=False) as session:
        others = [other for other in session.scalars(kept) if other.id != space.id and _can_reuse(space, other)]
    return sorted(others, key=lambda other: not _same_vectors(space, other))


def has_same_vectors(space: EmbeddingSpace, other: EmbeddingSpace) -> bool:
    """Whether a text has the same vector in both spaces, so that it can be copied unchanged."""
    return _can_reuse(space, other) and _same_vectors(space, other)


def _can_reuse(space: EmbeddingSpace, other: EmbeddingSpace) -> bool:
    # The query prompt is not compared: it changes no stored vector.
    if _document_encoding(space) != _document_encoding(other):
        return False
    if space.kind == other.kind == "chunks":
        return other.dimensions >= space.dimensions and (space.normalize or not other.normalize)
    # A text that is embedded whole may have the mean of its pieces' vectors, which cannot be shortened afterwards.
    same_pieces = _splitting(space) == _splitting(other)
    return "chunks" not in (space.kind, other.kind) and same_pieces and _same_vectors(space, other)


def _splitting(space: EmbeddingSpace) -> dict[str, Any]:
    return {name: value for name, value in space.chunking_settings.items() if name not in (TOKENIZER_SOURCE, SERVER)}


def _document_encoding(space: EmbeddingSpace) -> tuple[Any, ...]:
    prompts = space.prompts
    return space.model, space.revision, space.max_tokens, document_prompt(prompts), prompts.get(DOCUMENT_TYPE)


def _same_vectors(space: EmbeddingSpace, other: EmbeddingSpace) -> bool:
    return (other.dimensions, other.normalize) == (space.dimensions, space.normalize)


def _derive_vector(
    space: EmbeddingSpace, source: EmbeddingSpace, stored: Any
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """This space's vector and its checksum, from the columns of the source space."""
    if _same_vectors(space, source):
        return stored.embedding, stored.checksum
    first = func.subvector(stored.embedding, 1, space.dimensions, type_=VECTOR())
    vector = func.l2_normalize(first, type_=VECTOR()) if space.normalize else first
    return vector, checksum(stored.content_hash, vector, space.dimensions)

"""What a stored vector must be: whole, finite, of the right length, and still the one that was stored for its text."""

from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ColumnElement, Float, Table, and_, case, cast, false, func, or_, select
from sqlalchemy.dialects.postgresql import REAL, aggregate_order_by

from rag_assets.db.models import EmbeddingSpace

LENGTH_TOLERANCE = 0.01
# Products are summed in single precision, in another order on another processor: a millionth is usual, and two texts
# whose vectors are this near each other answer the same questions.
CHECKSUM_TOLERANCE = 1e-4


def checksum(content_hash: Any, embedding: Any, dimensions: int) -> ColumnElement[float]:
    """A number of a vector and its text: the product with a fixed direction, and three bytes of the text's hash.

    It tells vectors that were swapped or changed behind the pipeline's back, without a model, and in little more time
    than it takes to read them, where a cryptographic hash of each would take several times as long.
    """
    number = func.generate_series(1, dimensions).table_valued("i").render_derived()
    # No two components weigh the same, so that no exchange of components goes unseen. Made once a statement.
    component = cast(func.cos(cast(number.c.i, Float) * number.c.i), REAL)
    direction = select(cast(func.array_agg(aggregate_order_by(component, number.c.i)), VECTOR())).scalar_subquery()
    first, second, third = (func.get_byte(content_hash, place) for place in range(3))
    of_text: ColumnElement[Any] = first * 65_536 + second * 256 + third
    return func.inner_product(embedding, direction) + of_text


def unsound(space: EmbeddingSpace, vectors: Table) -> dict[str, ColumnElement[bool]]:
    """What can be wrong with a vector of the space, by name, as conditions on its partition; at most one holds."""
    stored = vectors.c
    norm = func.vector_norm(stored.embedding)
    whole = func.vector_dims(stored.embedding) == space.dimensions
    finite = norm != float("nan")
    off: ColumnElement[bool] = func.abs(norm - 1) > LENGTH_TOLERANCE if space.normalize else false()
    now = checksum(stored.content_hash, stored.embedding, space.dimensions)
    # An inner product of vectors of unequal dimensions is an error, so a CASE must stand before it.
    changed = case(
        (~whole, False),
        else_=func.abs(now - stored.checksum) > CHECKSUM_TOLERANCE * func.greatest(1.0, norm),
    )
    return {
        "wrong_dimensions": ~whole,
        "not_finite": and_(whole, ~finite),
        "zero": and_(whole, norm == 0),
        "wrong_norm": and_(whole, off, norm > 0, finite),
        "changed": and_(whole, ~off, norm > 0, finite, func.coalesce(changed, False)),
    }


def any_unsound(space: EmbeddingSpace, vectors: Table) -> ColumnElement[bool]:
    return or_(*unsound(space, vectors).values())

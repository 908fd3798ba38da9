"""Soundness of stored vectors: right dimensions, finite, right length, and unchanged since they were stored."""

from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ColumnElement, Float, FromClause, and_, case, cast, false, func, or_, select
from sqlalchemy.dialects.postgresql import REAL, aggregate_order_by

from rag_assets.db.models import EmbeddingSpace

LENGTH_TOLERANCE = 0.01
# pgvector sums products in single precision, in an order that depends on the processor: differences of a millionth are
# usual. Two texts whose vectors are as close as this tolerance answer the same queries.
CHECKSUM_TOLERANCE = 1e-4


def checksum(content_hash: Any, embedding: Any, dimensions: int) -> ColumnElement[float]:
    """A checksum of a vector and its text: the inner product with a fixed vector, plus three bytes of the text's hash.

    It detects vectors that were swapped or changed outside of the pipeline. It needs no model, and takes little longer
    than reading the vectors; a cryptographic hash would take several times as long.
    """
    number = func.generate_series(1, dimensions).table_valued("i").render_derived()
    # Every component has another weight, so that swapped components are detected. Computed once per statement.
    component = cast(func.cos(cast(number.c.i, Float) * number.c.i), REAL)
    direction = select(cast(func.array_agg(aggregate_order_by(component, number.c.i)), VECTOR())).scalar_subquery()
    first, second, third = (func.get_byte(content_hash, place) for place in range(3))
    of_text: ColumnElement[Any] = first * 65_536 + second * 256 + third
    return func.inner_product(embedding, direction) + of_text


def unsound_conditions(space: EmbeddingSpace, vectors: FromClause) -> dict[str, ColumnElement[bool]]:
    """Each kind of damage to a vector of the space, by name, as a condition on its partition; at most one is true."""
    stored = vectors.c
    norm = func.vector_norm(stored.embedding)
    whole = func.vector_dims(stored.embedding) == space.dimensions
    finite = norm != float("nan")
    off: ColumnElement[bool] = func.abs(norm - 1) > LENGTH_TOLERANCE if space.normalize else false()
    now = checksum(stored.content_hash, stored.embedding, space.dimensions)
    # CASE first: the inner product of vectors with different dimensions is an error.
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


def is_unsound(space: EmbeddingSpace, vectors: FromClause) -> ColumnElement[bool]:
    return or_(*unsound_conditions(space, vectors).values())

"""Query vectors for measurements, derived from stored vectors without being equal to one."""

from typing import TYPE_CHECKING, Any

from psycopg import sql
from sqlalchemy import ColumnElement, Connection, Table, Text, cast, func, select

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import vector_cursor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Gives neighbours at a cosine of 0.9 to their origin: near a text, but not equal to it.
JITTER = 0.5


def sample_query_vectors(connection: Connection, space: EmbeddingSpace, number: int) -> list[str]:
    """Up to `number` query vectors in pgvector's text format, each a third of the way from a stored vector to another.

    At that distance the recall of an index is about that for real queries (0.988 against 0.990 of the ten nearest, on
    6,038 texts and 70 queries); half way between two vectors it is lower, near a stored vector higher. Computed in the
    server, in the order of the hashes, which is as good as random; the same vectors give the same queries.
    """
    stored = partition(space.id)
    # The order of the primary key, so that the first rows are read, and no others.
    order = (stored.c.space_id, stored.c.content_hash)
    picked = (
        select(stored.c.embedding, func.row_number().over(order_by=order).label("place"))
        .order_by(*order)
        .limit(number)
        .cte("picked")
    )
    one, other = picked.alias("one"), picked.alias("other")
    following = one.c.place % select(func.count()).select_from(picked).scalar_subquery() + 1
    blend = one.c.embedding.op("+")(one.c.embedding).op("+")(other.c.embedding)
    third = cast(func.array_fill(1 / 3, [space.dimensions]), stored.c.embedding.type)
    query: ColumnElement[Any] = func.l2_normalize(blend) if space.normalize else blend.op("*")(third)
    pairs = select(cast(query, Text)).join_from(one, other, other.c.place == following)
    return list(connection.scalars(pairs.order_by(one.c.place)))


def sample_stored_vectors(connection: Connection, table: Table, number: int) -> "NDArray[np.float32]":
    """Up to `number` stored vectors in the order of their hashes, as float32 of shape (n, dimensions)."""
    import numpy as np

    driver = connection.connection.driver_connection
    assert driver is not None
    # In binary, into arrays: parsing text would take longer than the searches that they are for.
    query = sql.SQL("SELECT embedding FROM {} ORDER BY space_id, content_hash LIMIT {}").format(
        sql.Identifier(table.schema or "", table.name), number
    )
    with vector_cursor(driver) as cursor:
        return np.array([row[0].to_numpy() for row in cursor.execute(query)], dtype=np.float32)


def jitter_vectors(vectors: "NDArray[np.float32]", number: int, *, seed: int) -> "NDArray[np.float32]":
    """`number` random neighbours of the given vectors, with the same lengths; reproducible by the seed."""
    import numpy as np

    generator = np.random.default_rng(seed)
    origin = vectors[generator.integers(0, len(vectors), number)]
    lengths = np.linalg.norm(origin, axis=1, keepdims=True)
    noise = generator.standard_normal(origin.shape, dtype=np.float32)
    noise *= JITTER * lengths / np.linalg.norm(noise, axis=1, keepdims=True)
    moved = origin + noise
    moved *= lengths / np.linalg.norm(moved, axis=1, keepdims=True)
    return moved.astype(np.float32, copy=False)

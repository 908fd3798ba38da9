"""Questions to measure with: made of stored vectors, so that no question is a stored vector itself."""

from typing import TYPE_CHECKING, Any

from psycopg import sql
from sqlalchemy import ColumnElement, Connection, Table, Text, cast, func, select

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.vector_codec import vector_cursor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A neighbour at cosine 0.9 of its origin: near a text, not equal to it.
JITTER = 0.5


def sample_query_vectors(connection: Connection, space: EmbeddingSpace, number: int) -> list[str]:
    """Up to `number` questions as pgvector writes them: each a third of the way from one stored vector to another.

    So far out an index finds about as much for them as for people's questions (on 6,038 texts and 70 questions: 0.988
    of the ten nearest against 0.990); half way between it finds less, near a stored vector more. Made in the server,
    in the order of the hashes, which is as good as random; the same ones for the same vectors.
    """
    stored = partition(space.id)
    order = stored.c.content_hash
    picked = (
        select(stored.c.embedding, func.row_number().over(order_by=order).label("place"))
        .order_by(order)
        .limit(number)
        .cte("picked")
    )
    one, other = picked.alias("one"), picked.alias("other")
    following = one.c.place % select(func.count()).select_from(picked).scalar_subquery() + 1
    blend = one.c.embedding.op("+")(one.c.embedding).op("+")(other.c.embedding)
    third = cast(func.array_fill(1 / 3, [space.dimensions]), stored.c.embedding.type)
    question: ColumnElement[Any] = func.l2_normalize(blend) if space.normalize else blend.op("*")(third)
    pairs = select(cast(question, Text)).join_from(one, other, other.c.place == following)
    return list(connection.scalars(pairs.order_by(one.c.place)))


def sample_stored_vectors(connection: Connection, table: Table, number: int) -> "NDArray[np.float32]":
    """Up to `number` stored vectors, float32 (n, dimensions), by hash: an order as good as random."""
    import numpy as np

    driver = connection.connection.driver_connection
    assert driver is not None
    # In binary, straight into arrays: read as text, they would cost more than the searches that they serve.
    query = sql.SQL("SELECT embedding FROM {} ORDER BY content_hash LIMIT {}").format(
        sql.Identifier(table.schema or "", table.name), number
    )
    with vector_cursor(driver) as cursor:
        return np.array([row[0].to_numpy() for row in cursor.execute(query)], dtype=np.float32)


def jitter_vectors(vectors: "NDArray[np.float32]", number: int, *, seed: int) -> "NDArray[np.float32]":
    """`number` neighbours of the given vectors, of the same lengths; the same ones for the same seed."""
    import numpy as np

    generator = np.random.default_rng(seed)
    origin = vectors[generator.integers(0, len(vectors), number)]
    lengths = np.linalg.norm(origin, axis=1, keepdims=True)
    noise = generator.standard_normal(origin.shape, dtype=np.float32)
    noise *= JITTER * lengths / np.linalg.norm(noise, axis=1, keepdims=True)
    moved = origin + noise
    moved *= lengths / np.linalg.norm(moved, axis=1, keepdims=True)
    return moved.astype(np.float32, copy=False)

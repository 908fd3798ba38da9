"""Questions to measure with: stored vectors, moved a little, so that no question is a stored vector itself."""

from typing import TYPE_CHECKING

from psycopg import sql
from sqlalchemy import Connection, Table

from rag_assets.db.vectors import vector_cursor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A neighbour at cosine 0.9 of its origin: a question is near a text, not equal to it.
JITTER = 0.5


def sample_vectors(connection: Connection, table: Table, number: int) -> "NDArray[np.float32]":
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


def jittered(vectors: "NDArray[np.float32]", number: int, *, seed: int) -> "NDArray[np.float32]":
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

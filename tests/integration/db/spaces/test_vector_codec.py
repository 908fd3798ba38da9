"""The server reads packed vectors, one or several, as the same numbers."""

import numpy as np
from sqlalchemy import Engine, text

from rag_assets.db.spaces.vector_codec import PackedVector, PackedVectors, register_packed_vectors, unpack_vector

NUMBERS = [[0.0, -1.5, 3.25], [1e-38, 3.4e38, -0.0], [0.1, 0.2, 0.3]]


def test_the_server_reads_the_numbers_that_were_packed(engine: Engine) -> None:
    vectors = [PackedVector.of(numbers) for numbers in NUMBERS]
    with engine.connect() as connection:
        register_packed_vectors(connection.connection)
        together = connection.scalar(text("SELECT CAST(:v AS real[])"), {"v": PackedVectors.of(vectors)})
        alone = [connection.scalar(text("SELECT CAST(:v AS vector)::real[]"), {"v": vector}) for vector in vectors]
        none = connection.scalar(text("SELECT cardinality(CAST(:v AS real[]))"), {"v": PackedVectors.of([])})
        sent = connection.scalar(text("SELECT vector_send(CAST(:v AS vector))"), {"v": vectors[2]})
    assert np.array_equal(np.float32(together), np.float32(NUMBERS).ravel())
    assert np.array_equal(np.float32(alone), np.float32(NUMBERS))
    assert none == 0
    assert np.array_equal(unpack_vector(bytes(sent)), np.float32(NUMBERS[2]))

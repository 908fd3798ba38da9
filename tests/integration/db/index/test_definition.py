"""The exact statement of an index, and its definition as PostgreSQL prints it."""

from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets.db.index.build import ensure_index
from rag_assets.db.index.definition import create_index, index_definition, index_name, lists_for
from rag_assets.db.index.state import IndexState, index_state
from rag_assets.db.models import EmbeddingSpace
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.runs import rows

SHAPE = {
    "id": 7,
    "dimensions": 384,
    "method": "hnsw",
    "storage": "vector",
    "distance": "cosine",
    "m": 16,
    "ef_construction": 64,
}


def space(**changed: Any) -> EmbeddingSpace:
    return EmbeddingSpace(**SHAPE | changed)


@pytest.mark.parametrize(
    ("changed", "statement"),
    [
        (
            {},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw ((embedding::vector(384)) vector_cosine_ops) '
                "WITH (m = 16, ef_construction = 64)"
            ),
        ),
        (
            {"storage": "halfvec", "distance": "l2", "dimensions": 1024, "m": 24, "ef_construction": 200},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw ((embedding::halfvec(1024)) halfvec_l2_ops) '
                "WITH (m = 24, ef_construction = 200)"
            ),
        ),
        (
            {"distance": "ip"},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw ((embedding::vector(384)) vector_ip_ops) '
                "WITH (m = 16, ef_construction = 64)"
            ),
        ),
        (
            {"storage": "bit"},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING hnsw '
                "((binary_quantize(embedding::vector(384))::bit(384)) bit_hamming_ops) "
                "WITH (m = 16, ef_construction = 64)"
            ),
        ),
        (
            {"method": "ivfflat", "storage": "halfvec", "distance": "ip"},
            (
                'CREATE INDEX "ix" ON "rag"."t" USING ivfflat ((embedding::halfvec(384)) halfvec_ip_ops) '
                "WITH (lists = 50)"
            ),
        ),
    ],
)
def test_the_statement_is_exactly_this(changed: dict[str, Any], statement: str) -> None:
    made = space(**changed)
    assert create_index(made, "t", "ix", rows=50_000).as_string(None) == statement
    concurrently = create_index(made, "t", "ix", rows=50_000, concurrently=True).as_string(None)
    assert concurrently == statement.replace("INDEX", "INDEX CONCURRENTLY")
    assert '"rag".' not in create_index(made, "t", "ix", rows=0, schema=None).as_string(None)


def test_an_odd_name_is_quoted() -> None:
    statement = create_index(space(), 'a"; DROP TABLE x', "ix", rows=0).as_string(None)
    assert 'ON "rag"."a""; DROP TABLE x" ' in statement


def test_lists_grow_with_the_rows_and_more_slowly_beyond_a_million() -> None:
    assert [lists_for(rows) for rows in (0, 999, 10_000, 1_000_000, 4_000_000)] == [1, 1, 10, 1_000, 2_000]
    assert lists_for(10**12) == 32_768


@pytest.mark.parametrize("method", ["hnsw", "ivfflat"])
@pytest.mark.parametrize("storage", ["vector", "halfvec", "bit"])
@pytest.mark.parametrize("distance", ["cosine", "l2", "ip"])
def test_postgresql_prints_the_expected_definition(engine: Engine, method: str, storage: str, distance: str) -> None:
    wanted = definition("f", method=method, storage=storage, distance=distance, m=12, ef_construction=48)
    made = create_space(engine, wanted)
    add_vectors(engine, made, 20)
    assert ensure_index(engine, made) is IndexState.ABSENT
    [(printed,)] = rows(engine, "SELECT indexdef FROM pg_indexes WHERE indexname = :name", name=index_name(made))
    assert printed == index_definition(made)
    with engine.connect() as connection:
        assert index_state(connection, made) is IndexState.VALID


@pytest.mark.parametrize(("storage", "dimensions"), [("vector", 2_000), ("halfvec", 4_000), ("bit", 16_000)])
def test_each_storage_is_indexed_up_to_its_maximum_of_dimensions(engine: Engine, storage: str, dimensions: int) -> None:
    made = create_space(engine, definition("f", storage=storage, dimensions=dimensions))
    add_vectors(engine, made, 3)
    assert ensure_index(engine, made) is IndexState.ABSENT
    with engine.connect() as connection:
        assert index_state(connection, made) is IndexState.VALID

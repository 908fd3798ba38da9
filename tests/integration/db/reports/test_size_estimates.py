"""Estimated sizes of vectors and their index are close to the real ones."""

import pytest
from psycopg import sql
from sqlalchemy import Engine

from rag_assets.db.index.definition import create_index
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.reports.size_estimates import estimate_index_bytes, estimate_table_bytes
from rag_assets.db.schema.ddl import execute_ddl
from tests.support.pipeline.runs import rows

ROWS = 400


@pytest.mark.parametrize("dimensions", [64, 384, 768])
def test_estimates_are_close_to_the_servers_sizes(engine: Engine, dimensions: int) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE sized (space_id int NOT NULL, content_hash bytea NOT NULL, embedding vector NOT NULL, "
            "checksum double precision, PRIMARY KEY (space_id, content_hash))"
        )
        connection.exec_driver_sql(
            "INSERT INTO sized SELECT 1, sha256(n::text::bytea), (SELECT array_agg(random() - 0.5) "
            "FROM generate_series(1, %s) d WHERE n > 0 AND d > 0)::vector, 1 FROM generate_series(1, %s) n",
            (dimensions, ROWS),
        )
    # Without free space maps: about 30 kB per table, whatever its size.
    [(size,)] = rows(
        engine,
        "SELECT pg_relation_size(oid) + coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) "
        "+ pg_relation_size('sized_pkey') FROM pg_class WHERE relname = 'sized'",
    )
    assert estimate_table_bytes(dimensions, ROWS) == pytest.approx(size, rel=0.1, abs=4 * 8192)
    for method, storage in (("hnsw", "vector"), ("hnsw", "halfvec"), ("hnsw", "bit"), ("ivfflat", "vector")):
        space = EmbeddingSpace(
            dimensions=dimensions, method=method, storage=storage, distance="cosine", m=16, ef_construction=32
        )
        with engine.begin() as connection:
            execute_ddl(connection, create_index(space, "sized", "ix_sized", rows=ROWS, schema="public"))
        [(size,)] = rows(engine, "SELECT pg_relation_size('ix_sized')")
        assert estimate_index_bytes(space, ROWS) == pytest.approx(size, rel=0.1, abs=3 * 8192), (method, storage)
        with engine.begin() as connection:
            execute_ddl(connection, sql.SQL("DROP INDEX ix_sized"))

"""Inspect vector indexes, and run statements that damage them."""

from typing import Any

from sqlalchemy import Engine, text

from rag_assets.db.index.state import IndexInfo, IndexState, inspect_index
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import count_vectors, partition_name
from rag_assets.db.spaces.spaces import set_live_space
from tests.support.pipeline.runs import rows


def inspect_space_index(engine: Engine, space: EmbeddingSpace, **more: Any) -> IndexInfo:
    with engine.connect() as connection:
        return inspect_index(connection, space, rows=count_vectors(connection, space), **more)


def index_state(engine: Engine, space: EmbeddingSpace, **more: Any) -> IndexState:
    return inspect_space_index(engine, space, **more).state


def list_indexes(engine: Engine, space: EmbeddingSpace) -> list[tuple[str, bool]]:
    """Name and validity of each vector index on the space's table, under any name."""
    found = rows(
        engine,
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = to_regclass(:table) AND a.amname IN ('hnsw', 'ivfflat') "
        "ORDER BY 1",
        table=f"rag.{partition_name(space.id)}",
    )
    return [(name, valid) for name, valid in found]


def get_oid(engine: Engine, name: str) -> int:
    [(found,)] = rows(engine, "SELECT oid FROM pg_class WHERE relname = :name", name=name)
    return int(found)


def execute_statements(engine: Engine, *statements: str) -> None:
    """Execute each statement in autocommit mode."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))


def make_live(engine: Engine, space: EmbeddingSpace) -> None:
    with engine.begin() as connection:
        set_live_space(connection, space)

"""Tables that the pipeline creates at run time: of each space its partition of `rag.embeddings` and a latency probe."""

import re
from functools import lru_cache

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Connection, Double, Integer, LargeBinary, MetaData, Table, func, select

from rag_assets.db.models import SCHEMA, Embedding, EmbeddingSpace

PARTITION = "embeddings_"
_RUNTIME_TABLE = re.compile(r"(embeddings|latency_probe)_\d+")


def is_runtime_object(table: str | None) -> bool:
    """Whether the pipeline creates this table at run time, so that migrations must ignore it."""
    return table is not None and _RUNTIME_TABLE.fullmatch(table) is not None


def partition_name(space_id: int) -> str:
    return f"{PARTITION}{space_id}"


def probe_name(space_id: int) -> str:
    """The table of the latency check for a space with few vectors."""
    return f"latency_probe_{space_id}"


def has_partition(connection: Connection, space_id: int) -> bool:
    return connection.scalar(select(func.to_regclass(f"{SCHEMA}.{partition_name(space_id)}"))) is not None


# SQLAlchemy keeps compiled statements by the identity of their tables.
@lru_cache(maxsize=1_000)
def partition(space_id: int) -> Table:
    """The partition of a space as a table: a query of it has a simpler plan than one of the partitioned table."""
    return Table(
        partition_name(space_id),
        MetaData(schema=SCHEMA),
        Column("space_id", Integer, nullable=False),
        Column("content_hash", LargeBinary, nullable=False),
        Column("embedding", VECTOR(), nullable=False),
        Column("checksum", Double),
    )


def count_vectors(connection: Connection, space: EmbeddingSpace) -> int:
    # Through the partitioned table, which prunes to this partition: a partition that was lost counts as empty.
    return connection.scalar(select(func.count()).where(Embedding.space_id == space.id)) or 0

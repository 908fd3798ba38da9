"""Tables that the pipeline creates at run time: of each space its partition of `rag.embeddings` and a latency probe.

The partition of a space with several parts is itself partitioned, by the hashes of the texts: each part has an index of
its own, and a query of the partition merges what they find.
"""

import re
from functools import lru_cache

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Connection, Double, Integer, LargeBinary, MetaData, Table, func, select, table

from rag_assets.db.models import SCHEMA, Embedding, EmbeddingSpace

PARTITION = "embeddings_"
_RUNTIME_TABLE = re.compile(r"(embeddings_\d+(_p\d+)?|(latency_probe|audit_entries)_\d+)")


def is_runtime_object(table: str | None) -> bool:
    """Whether the pipeline creates this table at run time, so that migrations must ignore it."""
    return table is not None and _RUNTIME_TABLE.fullmatch(table) is not None


def partition_name(space_id: int) -> str:
    return f"{PARTITION}{space_id}"


def part_names(space: EmbeddingSpace) -> list[str]:
    """The tables of the parts of a space, none where its partition is not divided."""
    return [f"{partition_name(space.id)}_p{number}" for number in range(1, space.parts + 1)] if space.parts > 1 else []


def table_names(space: EmbeddingSpace) -> list[str]:
    """The tables that hold the vectors of a space, each with an index of its own."""
    return part_names(space) or [partition_name(space.id)]


def probe_name(space_id: int) -> str:
    """The table of the latency check for a space with few vectors."""
    return f"latency_probe_{space_id}"


def has_partition(connection: Connection, space_id: int) -> bool:
    return connection.scalar(select(func.to_regclass(f"{SCHEMA}.{partition_name(space_id)}"))) is not None


def has_all_tables(connection: Connection, space: EmbeddingSpace) -> bool:
    """Whether the partition of a space exists with all of its parts."""
    names = [f"{SCHEMA}.{name}" for name in (partition_name(space.id), *part_names(space))]
    return all(connection.execute(select(*(func.to_regclass(name).is_not(None) for name in names))).one())


def partition_bytes(connection: Connection, space_id: int, *, indexes: bool = True) -> int:
    """The size of a space's vectors on disk, 0 where it has no partition; with the indexes, or without them."""
    tree = func.pg_partition_tree(func.to_regclass(f"{SCHEMA}.{partition_name(space_id)}"))
    relid = tree.table_valued("relid", "parentrelid", "isleaf", "level").c.relid
    size = func.pg_total_relation_size(relid) if indexes else func.pg_table_size(relid)
    return int(connection.scalar(select(func.sum(size))) or 0)


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


def count_vectors_of(connection: Connection, space: EmbeddingSpace, name: str) -> int:
    """The vectors in one of the tables of the space."""
    if name == partition_name(space.id):
        return count_vectors(connection, space)
    return connection.scalar(select(func.count()).select_from(table(name, schema=SCHEMA))) or 0

"""The HNSW index of a space: its one statement, its state as the server tells it, and the build."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from psycopg import sql
from psycopg.errors import DiskFull, OutOfMemory
from sqlalchemy import Connection, Engine, text

from rag_assets.db.ddl import execute, vector_type
from rag_assets.db.engine import direct_engine
from rag_assets.db.locks import exclusively
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.spaces import partition_name

OPERATORS = {"cosine": "<=>", "l2": "<->", "ip": "<#>"}
_OPCLASS = {"cosine": "cosine_ops", "l2": "l2_ops", "ip": "ip_ops"}

Progress = Callable[[int, int], None]


class IndexState(StrEnum):
    ABSENT = "absent"
    INVALID = "invalid"
    STALE = "stale"
    VALID = "valid"


def index_name(space_id: int) -> str:
    return f"ix_{partition_name(space_id)}_hnsw"


def create_index(
    space: EmbeddingSpace, table: str, name: str, *, schema: str | None = SCHEMA, concurrently: bool = False
) -> sql.Composed:
    """The one statement that makes an index for vectors of this space, on any table of their shape."""
    return sql.SQL(
        "CREATE INDEX {concurrently}{name} ON {table} USING hnsw ((embedding::{type}) {opclass}) "
        "WITH (m = {m}, ef_construction = {ef_construction})"
    ).format(
        concurrently=sql.SQL("CONCURRENTLY " if concurrently else ""),
        name=sql.Identifier(name),
        table=sql.Identifier(schema, table) if schema else sql.Identifier(table),
        type=vector_type(space),
        opclass=sql.SQL(f"{space.storage}_{_OPCLASS[space.distance]}"),
        m=sql.Literal(space.m),
        ef_construction=sql.Literal(space.ef_construction),
    )


def index_definition(space: EmbeddingSpace) -> str:
    """The index as PostgreSQL prints it when it is the wanted one; anything else is stale."""
    return (
        f"CREATE INDEX {index_name(space.id)} ON {SCHEMA}.{partition_name(space.id)} USING hnsw "
        f"(((embedding)::{space.storage}({space.dimensions})) {space.storage}_{_OPCLASS[space.distance]}) "
        f"WITH (m='{space.m}', ef_construction='{space.ef_construction}')"
    )


def index_state(connection: Connection, space: EmbeddingSpace) -> IndexState:
    row = connection.execute(
        text(
            "SELECT i.indisvalid AND i.indisready, pg_get_indexdef(i.indexrelid) FROM pg_index i "
            "WHERE i.indexrelid = to_regclass(:name)"
        ),
        {"name": f"{SCHEMA}.{index_name(space.id)}"},
    ).one_or_none()
    if row is None:
        return IndexState.ABSENT
    valid, definition = row
    if not valid:
        return IndexState.INVALID
    return IndexState.VALID if definition == index_definition(space) else IndexState.STALE


def index_bytes(connection: Connection, space: EmbeddingSpace) -> int:
    """Size on disk, 0 where there is no index."""
    size = connection.scalar(
        text("SELECT pg_relation_size(to_regclass(:name))"), {"name": f"{SCHEMA}.{index_name(space.id)}"}
    )
    return int(size or 0)


def ensure_index(
    engine: Engine, space: EmbeddingSpace, *, memory_limit_mb: int, wait_s: float, progress: Progress
) -> IndexState:
    """Make the index be there, valid and as wanted; returns the state that was found.

    Two builders take turns: the second finds the work done. `progress` gets blocks done and in all.
    """
    with exclusively(engine, f"index of space {space.id}", wait_s=wait_s):
        with engine.connect() as connection:
            found = index_state(connection, space)
        if found is not IndexState.VALID:
            _build(engine, space, memory_limit_mb=memory_limit_mb, progress=progress)
        return found


def _build(engine: Engine, space: EmbeddingSpace, *, memory_limit_mb: int, progress: Progress) -> None:
    table, name = partition_name(space.id), index_name(space.id)
    engine = direct_engine(engine, f"building the index {name}")
    # Where searches and writes go on meanwhile, they must not be locked out.
    concurrently = space.status == "live"
    drop = sql.SQL("DROP INDEX {}IF EXISTS {}").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""), sql.Identifier(SCHEMA, name)
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            rows = connection.execute(
                text("SELECT count(*) FROM rag.embeddings WHERE space_id = :id"), {"id": space.id}
            ).scalar_one()
            # It takes as long as it takes.
            _set(connection, "statement_timeout", "0")
            _set(connection, "maintenance_work_mem", f"{_graph_mb(space, rows, memory_limit_mb)}MB")
            statement = create_index(space, table, name, concurrently=concurrently)
            # A leftover of a build that died, or an index with other parameters: `IF NOT EXISTS` would hide it.
            execute(connection, drop)
            try:
                with _watched(engine, connection, progress):
                    execute(connection, statement)
            except (DiskFull, OutOfMemory):
                # Shared memory is too small for a parallel build (/dev/shm is 64 MB in many containers);
                # a single process needs none of it.
                _set(connection, "max_parallel_maintenance_workers", "0")
                execute(connection, drop)
                with _watched(engine, connection, progress):
                    execute(connection, statement)
            execute(connection, sql.SQL("ANALYZE {}").format(sql.Identifier(SCHEMA, table)))
        finally:
            # What was set for the build ends with its session, and does not go back to the pool.
            connection.invalidate()


def _graph_mb(space: EmbeddingSpace, rows: int, limit_mb: int) -> int:
    """Memory in which the whole graph fits, in MB: beyond it a build slows down many times."""
    # Measured with pgvector 0.8: the vector itself, and about 40 bytes for each of its 2 m links on the ground layer.
    width = 2 if space.storage == "halfvec" else 4
    needed = rows * (space.dimensions * width + 2 * space.m * 40 + 200) * 1.2 / 1e6
    return int(min(max(64, needed), max(64, limit_mb)))


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})


@contextmanager
def _watched(engine: Engine, connection: Connection, progress: Progress) -> Iterator[None]:
    """Report the build's progress from a second connection while the first one is busy with it."""
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    done = threading.Event()

    def watch() -> None:
        query = text("SELECT blocks_done, blocks_total FROM pg_stat_progress_create_index WHERE pid = :pid")
        while not done.wait(0.5):
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
                row = watcher.execute(query, {"pid": pid}).one_or_none()
            if row is not None and row[1]:
                progress(int(row[0]), int(row[1]))

    thread = threading.Thread(target=watch, name="index-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

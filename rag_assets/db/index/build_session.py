"""The database session that builds, renames and drops the index of a space."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from psycopg import errors, sql
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.index import build_resources
from rag_assets.db.index.definition import create_index, index_name
from rag_assets.db.index.state import index_comment, inspect_parts
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import execute_ddl
from rag_assets.db.schema.extension import ensure_pgvector
from rag_assets.db.session.priority import lower_session
from rag_assets.db.spaces.partitions import count_vectors, count_vectors_of, partition_name

Progress = Callable[[int, int], None]


def ignore_progress(done: int, total: int) -> None:
    """The progress callback of builds that report none."""


_PROGRESS_INTERVAL_S = 0.5
# How often a backend checks that its client is connected: an abandoned build would block others.
_CLIENT_CHECK = "2s"


@contextmanager
def index_session(
    engine: Engine, space: EmbeddingSpace, table: str | None = None, *, wait_s: float
) -> Iterator["IndexSession"]:
    """A session of its own, past any pooler, in autocommit, without a statement timeout.

    `table` is one of the space's tables, by default its partition. The session's statements wait at most `wait_s`
    seconds each for locks and for older transactions.
    """
    engine = direct_engine(engine, f"the index {index_name(space)}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            ensure_pgvector(connection)
            _set(connection, "statement_timeout", "0")
            # In PostgreSQL a timeout of 0 means no timeout.
            _set(connection, "lock_timeout", f"{max(1, int(wait_s * 1000))}ms")
            with suppress(DBAPIError):
                # Not supported on every system; without it a backend finishes an abandoned build.
                _set(connection, "client_connection_check_interval", _CLIENT_CHECK)
            yield IndexSession(engine, connection, space, table or partition_name(space.id))
        finally:
            # Close the session instead of returning it to the pool: the settings above belong to it.
            connection.invalidate()


class IndexSession:
    """DDL on the index of one table of a space, concurrent with searches unless the space is still building."""

    def __init__(self, engine: Engine, connection: Connection, space: EmbeddingSpace, table: str) -> None:
        self._engine = engine
        self._connection = connection
        self._space = space
        self._table = table
        # Read the status again: the space may have become live, and then its searches must not be locked out.
        status = connection.scalar(select(EmbeddingSpace.status).where(EmbeddingSpace.id == space.id))
        self.concurrently = status != "building"
        self._nice = 0

    def give_way(self, nice: int) -> None:
        """Let the build leave the processors of this machine to searches."""
        self._nice = nice
        lower_session(self._connection.connection.driver_connection, nice)

    def drop(self, *names: str) -> None:
        for name in names:
            execute_ddl(
                self._connection,
                sql.SQL("DROP INDEX {}IF EXISTS {}").format(
                    sql.SQL("CONCURRENTLY " if self.concurrently else ""), sql.Identifier(SCHEMA, name)
                ),
            )

    def build(self, replaced: str | None, *, memory_limit_mb: int, wanted: int | None, progress: Progress) -> None:
        """Build the index, then drop `replaced`; `wanted` is the number of parallel workers, None for the default.

        In a space that is not searched `replaced` is dropped first, since two indexes would take twice the space.
        """
        if replaced and not self.concurrently:
            self.drop(replaced)
            replaced = None
        rows = count_vectors_of(self._connection, self._space, self._table)
        limit_mb = build_resources.memory_limit_mb(self._connection, memory_limit_mb)
        _set(
            self._connection,
            "maintenance_work_mem",
            f"{build_resources.build_memory_mb(self._space, rows, limit_mb)}MB",
        )
        workers = build_resources.parallel_workers(self._connection, rows, wanted)
        _set(self._connection, "max_parallel_maintenance_workers", str(workers))
        name = self._free_name()
        try:
            self._create(name, rows, progress)
        except (errors.DiskFull, errors.OutOfMemory):
            # Shared memory is too small for a parallel build (/dev/shm is 64 MB in many containers);
            # a single process needs none of it.
            self.drop(name)
            _set(self._connection, "max_parallel_maintenance_workers", "0")
            self._create(name, rows, progress)
        self._set_comment(name, index_comment(rows, self._size(name)))
        if replaced:
            name = self._swap_names(name, replaced)

    def analyze(self) -> None:
        execute_ddl(self._connection, sql.SQL("ANALYZE {}").format(sql.Identifier(SCHEMA, self._table)))

    def plan_builds(self, parts: int, *, memory_limit_mb: int, wanted: int | None) -> build_resources.BuildShares:
        """How many of so many parts to build at a time, and what each build may take."""
        rows = count_vectors(self._connection, self._space)
        limit_mb = build_resources.memory_limit_mb(self._connection, memory_limit_mb)
        workers = build_resources.parallel_workers(self._connection, rows, wanted)
        if self.concurrently:
            # Concurrent builds wait for each other, and searches need the memory and the processors.
            return build_resources.BuildShares(1, limit_mb, workers)
        return build_resources.share_resources(self._space, parts, rows // self._space.parts, limit_mb, workers)

    def cancel(self) -> None:
        """End the running statement, from another thread."""
        driver = self._connection.connection.driver_connection
        if driver is not None:
            driver.cancel_safe()

    def rename(self, name: str) -> None:
        """Give the index its regular name, if that is free."""
        free = self._free_name()
        if free == index_name(self._space, self._table):
            execute_ddl(self._connection, _rename_statement(name, free))

    def _create(self, name: str, rows: int, progress: Progress) -> None:
        statement = create_index(self._space, self._table, name, rows=rows, concurrently=self.concurrently)
        with _report_progress(self._engine, self._connection, progress, self._nice):
            execute_ddl(self._connection, statement)

    def store_recall(self, recall: float | None) -> None:
        """Store the measured recall of the new index in its comment."""
        name = inspect_parts(self._connection, self._space)[self._table].name
        rows = count_vectors_of(self._connection, self._space, self._table)
        self._set_comment(name, index_comment(rows, self._size(name), recall))

    def _set_comment(self, name: str, comment: str) -> None:
        statement = sql.SQL("COMMENT ON INDEX {} IS {}").format(sql.Identifier(SCHEMA, name), sql.Literal(comment))
        execute_ddl(self._connection, statement)

    def _size(self, name: str) -> int:
        query = text("SELECT pg_relation_size(to_regclass(:name))")
        return int(self._connection.scalar(query, {"name": f"{SCHEMA}.{name}"}) or 0)

    def _swap_names(self, name: str, replaced: str) -> str:
        """Give the new index the name of the old one in one transaction, then drop the old one."""
        driver = self._connection.connection.driver_connection
        assert driver is not None
        temporary = self._free_name()
        with driver.transaction():
            execute_ddl(self._connection, _rename_statement(replaced, temporary))
            execute_ddl(self._connection, _rename_statement(name, replaced))
        self.drop(temporary)
        return replaced

    def _free_name(self) -> str:
        """The regular name of the index, with a number appended if another object has it."""
        name = free = index_name(self._space, self._table)
        number = 1
        while self._connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.{free}"}) is not None:
            number += 1
            free = f"{name}_{number}"
        return free


def _rename_statement(name: str, other: str) -> sql.Composed:
    return sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(SCHEMA, name), sql.Identifier(other))


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})


@contextmanager
def _report_progress(engine: Engine, connection: Connection, progress: Progress, nice: int) -> Iterator[None]:
    """Report the build's progress from a second connection while the first one runs it.

    Its parallel workers, which start at the priority of the server, become as nice as the session.
    """
    builder = connection.connection.driver_connection
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    done = threading.Event()

    def watch() -> None:
        query = text(
            "SELECT blocks_done, blocks_total, ARRAY(SELECT pid FROM pg_stat_activity WHERE leader_pid = :pid) "
            "FROM pg_stat_progress_create_index WHERE pid = :pid"
        )
        while not done.wait(_PROGRESS_INTERVAL_S):
            try:
                with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
                    row = watcher.execute(query, {"pid": pid}).one_or_none()
            except SQLAlchemyError:
                # The build meets the same error, and raises it.
                return
            if row is not None:
                lower_session(builder, nice, row[2])
            if row is not None and row[1]:
                progress(int(row[0]), int(row[1]))

    thread = threading.Thread(target=watch, name="index-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

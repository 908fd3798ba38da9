"""The session that changes the index of a space: what it may take, build, progress, exchange of names, removal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from psycopg import errors, sql
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from rag_assets.db.connections.engines import direct_engine
from rag_assets.db.index import build_resources
from rag_assets.db.index.definition import create_index, index_name
from rag_assets.db.index.state import index_in_use, note_of
from rag_assets.db.models import SCHEMA, EmbeddingSpace
from rag_assets.db.schema.ddl import execute
from rag_assets.db.schema.extension import ensure_pgvector
from rag_assets.db.spaces.spaces import count_vectors, partition_name

Progress = Callable[[int, int], None]


def unwatched(done: int, total: int) -> None:
    """For builds whose progress nobody wants to see."""


_WATCH_S = 0.5
# How soon a backend notices that its client is gone: a build that nobody waits for keeps others from theirs.
_CLIENT_CHECK = "2s"


@contextmanager
def index_session(engine: Engine, space: EmbeddingSpace, *, wait_s: float) -> Iterator["IndexSession"]:
    """A session of its own, past any pooler and outside any transaction, in which statements take as long as they take.

    They wait for locks, and for transactions that began before, at most `wait_s` seconds each.
    """
    engine = direct_engine(engine, f"the index {index_name(space)}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            ensure_pgvector(connection)
            _set(connection, "statement_timeout", "0")
            # PostgreSQL reads 0 as "wait for ever".
            _set(connection, "lock_timeout", f"{max(1, int(wait_s * 1000))}ms")
            with suppress(DBAPIError):
                # Some systems cannot tell; there a backend goes on to the end of its build.
                _set(connection, "client_connection_check_interval", _CLIENT_CHECK)
            yield IndexSession(engine, connection, space)
        finally:
            # What was set ends with its session, and does not go back to the pool.
            connection.invalidate()


class IndexSession:
    def __init__(self, engine: Engine, connection: Connection, space: EmbeddingSpace) -> None:
        self._engine = engine
        self._connection = connection
        self._space = space
        self._table = partition_name(space.id)
        # Where searches and writes go on meanwhile, they must not be locked out; it may have become live just now.
        status = connection.scalar(select(EmbeddingSpace.status).where(EmbeddingSpace.id == space.id))
        self._concurrently = status != "building"

    def drop(self, *names: str) -> None:
        for name in names:
            execute(
                self._connection,
                sql.SQL("DROP INDEX {}IF EXISTS {}").format(
                    sql.SQL("CONCURRENTLY " if self._concurrently else ""), sql.Identifier(SCHEMA, name)
                ),
            )

    def build(self, replaced: str | None, *, memory_limit_mb: int, wanted: int | None, progress: Progress) -> None:
        """Build, in place of the index `replaced` where there is one; `wanted` parallel workers, unset as many as fit.

        Where nobody searches, that one goes first: two would take twice the room.
        """
        if replaced and not self._concurrently:
            self.drop(replaced)
            replaced = None
        rows = count_vectors(self._connection, self._space)
        limit_mb = build_resources.limit_mb(self._connection, memory_limit_mb)
        _set(self._connection, "maintenance_work_mem", f"{build_resources.memory_mb(self._space, rows, limit_mb)}MB")
        workers = build_resources.workers(self._connection, rows, wanted)
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
        self._note(name, note_of(rows, self._size(name)))
        if replaced:
            name = self._exchange(name, replaced)
        execute(self._connection, sql.SQL("ANALYZE {}").format(sql.Identifier(SCHEMA, self._table)))

    def rename(self, name: str) -> None:
        """Let the index have the name that it should have, where that is free."""
        free = self._free_name()
        if free == index_name(self._space):
            execute(self._connection, _renaming(name, free))

    def _create(self, name: str, rows: int, progress: Progress) -> None:
        statement = create_index(self._space, self._table, name, rows=rows, concurrently=self._concurrently)
        with _watched(self._engine, self._connection, progress):
            execute(self._connection, statement)

    def note(self, recall: float | None) -> None:
        """Keep with the index in use, as it was built just now, what searches find through it."""
        name = index_in_use(self._connection, self._space)
        rows = count_vectors(self._connection, self._space)
        self._note(name, note_of(rows, self._size(name), recall))

    def _note(self, name: str, note: str) -> None:
        statement = sql.SQL("COMMENT ON INDEX {} IS {}").format(sql.Identifier(SCHEMA, name), sql.Literal(note))
        execute(self._connection, statement)

    def _size(self, name: str) -> int:
        query = text("SELECT pg_relation_size(to_regclass(:name))")
        return int(self._connection.scalar(query, {"name": f"{SCHEMA}.{name}"}) or 0)

    def _exchange(self, name: str, replaced: str) -> str:
        """Give the new index the name of the old one in one transaction, then remove the old one."""
        driver = self._connection.connection.driver_connection
        assert driver is not None
        aside = self._free_name()
        with driver.transaction():
            execute(self._connection, _renaming(replaced, aside))
            execute(self._connection, _renaming(name, replaced))
        self.drop(aside)
        return replaced

    def _free_name(self) -> str:
        """The index's own name, or that with a number where something else has it."""
        name = free = index_name(self._space)
        number = 1
        while self._connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.{free}"}) is not None:
            number += 1
            free = f"{name}_{number}"
        return free


def _renaming(name: str, other: str) -> sql.Composed:
    return sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(SCHEMA, name), sql.Identifier(other))


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})


@contextmanager
def _watched(engine: Engine, connection: Connection, progress: Progress) -> Iterator[None]:
    """Report the build's progress from a second connection while the first one is busy with it."""
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    done = threading.Event()

    def watch() -> None:
        query = text("SELECT blocks_done, blocks_total FROM pg_stat_progress_create_index WHERE pid = :pid")
        while not done.wait(_WATCH_S):
            try:
                with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
                    row = watcher.execute(query, {"pid": pid}).one_or_none()
            except SQLAlchemyError:
                # The builder meets the same trouble, and it is the one who says so.
                return
            if row is not None and row[1]:
                progress(int(row[0]), int(row[1]))

    thread = threading.Thread(target=watch, name="index-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

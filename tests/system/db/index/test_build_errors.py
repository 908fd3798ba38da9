"""Errors of an index build: the same call, or at the latest the next one, leaves one valid index."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import OperationalError

from rag_assets.db.connections.engines import DRIVER, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.retry import run_write
from rag_assets.db.index.build import ensure_index, rebuild_index
from rag_assets.db.index.build_options import IndexBuildOptions
from rag_assets.db.index.definition import create_index, index_name
from rag_assets.db.index.state import IndexState
from rag_assets.db.locks import hold_lock
from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.schema import migrations
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import ServiceError
from tests.support.database.indexes import execute_statements, index_state, list_indexes, make_live
from tests.support.database.rows import add_vectors, create_space, definition
from tests.support.pipeline.interrupts import Interrupted, interrupt_when
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, THIS_DATABASE, rows

BUILDERS = text(f"SELECT pid FROM pg_stat_progress_create_index WHERE datid = {THIS_DATABASE} AND phase LIKE :phase")
MIDDLE = "building index%"
CANCEL = "SELECT pg_cancel_backend(:pid)"
TERMINATE = "SELECT pg_terminate_backend(:pid)"
MIB = 1024 * 1024


@pytest.fixture
def space(engine: Engine) -> EmbeddingSpace:
    """A live space without its index, which takes about a second to build."""
    return slow_space(engine)


def slow_space(engine: Engine) -> EmbeddingSpace:
    made = create_space(engine, definition("f", dimensions=384, ef_construction=500))
    add_vectors(engine, made, 1_200)
    make_live(engine, made)
    return made


class Builder:
    """A build in its own thread, and its outcome."""

    def __init__(self, engine: Engine, space: EmbeddingSpace, building: IndexBuildOptions | None = None) -> None:
        self.outcome: Any = None
        self._engine = engine
        arguments = (engine, space, building or IndexBuildOptions(wait_s=60))
        self._thread = threading.Thread(target=self._build, args=arguments)

    def _build(self, *arguments: Any) -> None:
        try:
            self.outcome = ensure_index(*arguments)
        except Exception as error:
            self.outcome = error

    def __enter__(self) -> "Builder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


def wait_for_build(engine: Engine, other_than: int | None = None, phase: str = MIDDLE) -> int:
    """Wait for the backend that is building, and return its process id."""
    end = time.monotonic() + 60
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while time.monotonic() < end:
            pid = connection.scalar(BUILDERS, {"phase": phase})
            if pid is not None and pid != other_than:
                return int(pid)
            time.sleep(0.01)
    raise AssertionError("no backend builds an index")


def signal_backend(engine: Engine, statement: str, pid: int) -> None:
    assert rows(engine, statement, pid=pid) == [(True,)]


def assert_one_valid_index(engine: Engine, space: EmbeddingSpace) -> None:
    assert ensure_index(engine, space, IndexBuildOptions(wait_s=60)) is IndexState.VALID
    assert list_indexes(engine, space) == [(index_name(space), True)]


@pytest.mark.parametrize("fault", [CANCEL, TERMINATE], ids=["statement-cancelled", "backend-killed"])
def test_an_interrupted_build_is_retried(engine: Engine, space: EmbeddingSpace, fault: str) -> None:
    with Builder(engine, space) as builder:
        signal_backend(engine, fault, wait_for_build(engine))
    assert builder.outcome is IndexState.ABSENT
    assert_one_valid_index(engine, space)


def test_a_repeatedly_cancelled_build_is_an_error_and_leaves_nothing(engine: Engine, space: EmbeddingSpace) -> None:
    with Builder(engine, space) as builder:
        last = None
        for _ in range(3):
            # A cancelled backend ends its session, so that each attempt has another backend.
            last = wait_for_build(engine, other_than=last)
            signal_backend(engine, CANCEL, last)
    assert isinstance(builder.outcome, ServiceError)
    assert f"building the index {index_name(space)} was cancelled repeatedly" in str(builder.outcome)
    assert list_indexes(engine, space) == []
    assert ensure_index(engine, space) is IndexState.ABSENT
    assert_one_valid_index(engine, space)


def test_a_build_is_cancelled_with_its_run_and_leaves_nothing(engine: Engine, space: EmbeddingSpace) -> None:
    with pytest.raises(Interrupted), interrupt_when(lambda: wait_for_build(engine)):
        ensure_index(engine, space, IndexBuildOptions(wait_s=60))
    assert rows(engine, f"SELECT pid FROM pg_stat_progress_create_index WHERE datid = {THIS_DATABASE}") == []
    assert rows(engine, COUNT_ADVISORY_LOCKS) == [(0,)]
    assert list_indexes(engine, space) == []
    assert ensure_index(engine, space) is IndexState.ABSENT
    assert_one_valid_index(engine, space)


CLIENT = (
    "import sys\n"
    "from sqlalchemy import make_url, select\n"
    "from sqlalchemy.orm import Session\n"
    "from rag_assets.db.connections.engines import make_engine\n"
    "from rag_assets.db.index.build import ensure_index\n"
    "from rag_assets.db.models import EmbeddingSpace\n"
    "engine = make_engine(make_url(sys.argv[1]))\n"
    "with Session(engine, expire_on_commit=False) as session:\n"
    "    space = session.scalars(select(EmbeddingSpace)).one()\n"
    "ensure_index(engine, space)\n"
)


def test_after_a_killed_client_there_is_one_valid_index(engine: Engine, space: EmbeddingSpace, database: URL) -> None:
    with killed_client(engine, database) as pid:
        assert index_state(engine, space) is IndexState.BUILDING
    # Its backend may have noticed that the client is gone, be building still, or have finished.
    ensure_index(engine, space, IndexBuildOptions(wait_s=60))
    assert_one_valid_index(engine, space)
    assert rows(engine, "SELECT pid FROM pg_stat_activity WHERE pid = :pid", pid=pid) == []


def test_a_backend_whose_client_was_killed_ends_soon_and_the_next_build_removes_its_leftover(
    engine: Engine, space: EmbeddingSpace, database: URL
) -> None:
    with engine.connect() as writer:
        # An open transaction that wrote to the table keeps the build from finishing.
        writer.execute(text("DELETE FROM rag.embeddings_1 WHERE false"))
        with killed_client(engine, database, "%") as pid:
            assert index_state(engine, space) is IndexState.BUILDING
        end = time.monotonic() + 30
        while rows(engine, "SELECT pid FROM pg_stat_activity WHERE pid = :pid", pid=pid):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert index_state(engine, space) is IndexState.INVALID
        writer.rollback()
    assert ensure_index(engine, space, IndexBuildOptions(wait_s=60)) is IndexState.INVALID
    assert_one_valid_index(engine, space)


@contextmanager
def killed_client(engine: Engine, database: URL, phase: str = MIDDLE) -> Iterator[int]:
    """Another process that builds, killed with SIGKILL at the end of the block."""
    url = database.render_as_string(hide_password=False)
    client = subprocess.Popen([sys.executable, "-c", CLIENT, url], stderr=subprocess.PIPE)
    try:
        yield wait_for_build(engine, phase=phase)
    finally:
        client.send_signal(signal.SIGKILL)
        client.communicate()


def test_a_backend_that_builds_for_too_long_is_named(engine: Engine, space: EmbeddingSpace, database: URL) -> None:
    with waiting_build(engine, space, database) as pid:
        assert index_state(engine, space) is IndexState.BUILDING
        with pytest.raises(ServiceError, match=f"backend {pid} has been building .* for more than 0.5 s.*pg_terminate"):
            ensure_index(engine, space, IndexBuildOptions(wait_s=0.5))
    assert_one_valid_index(engine, space)


@contextmanager
def waiting_build(engine: Engine, space: EmbeddingSpace, database: URL) -> Iterator[int]:
    """A concurrent build of another session, which waits for a writing transaction; both end with the block."""
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    statement = create_index(space, "embeddings_1", index_name(space), rows=0, concurrently=True)
    with engine.connect() as writer, psycopg.connect(url, autocommit=True) as other:
        writer.execute(text("DELETE FROM rag.embeddings_1 WHERE false"))
        thread = threading.Thread(target=other.execute, args=(statement,))
        thread.start()
        pid = other.info.backend_pid
        waits = "SELECT pid FROM pg_stat_activity WHERE pid = :pid AND wait_event_type = 'Lock'"
        while not rows(engine, waits, pid=pid):
            time.sleep(0.01)
        try:
            yield pid
        finally:
            writer.rollback()
            thread.join()


@pytest.mark.parametrize("live", [False, True], ids=["building", "live"])
def test_of_two_builders_at_once_the_second_finds_the_work_done(engine: Engine, live: bool) -> None:
    made = create_space(engine, definition("f", dimensions=128))
    add_vectors(engine, made, 1_000)
    if live:
        make_live(engine, made)
    with Builder(engine, made) as one, Builder(engine, made) as other:
        pass
    assert {one.outcome, other.outcome} == {IndexState.ABSENT, IndexState.VALID}
    assert list_indexes(engine, made) == [(index_name(made), True)]


def test_a_session_that_waits_for_the_builder_does_not_block_it(engine: Engine, space: EmbeddingSpace) -> None:
    # A statement that waits for a lock holds a snapshot, and a concurrent build waits for snapshots: a deadlock.
    with Builder(engine, space), Builder(engine, space):
        pid = wait_for_build(engine)
        time.sleep(0.5)
        waits = (
            "SELECT backend_xmin FROM pg_stat_activity "
            "WHERE datname = current_database() AND query ILIKE '%advisory%' AND pid <> pg_backend_pid()"
        )
        assert {xmin for (xmin,) in rows(engine, waits)} == {None}
        assert {one for (one,) in rows(engine, str(BUILDERS), phase=MIDDLE)} <= {pid}, "nobody builds a second time"
    assert list_indexes(engine, space) == [(index_name(space), True)]


def test_a_builder_waits_no_longer_than_allowed_for_another_one(engine: Engine) -> None:
    made = create_space(engine)
    with hold_lock(engine, f"index of space {made.id}", wait_s=1), pytest.raises(ServiceError, match="index of"):
        ensure_index(engine, made, IndexBuildOptions(wait_s=0.1))


def test_a_lock_that_is_not_free_in_time_is_an_error_that_names_its_holder(engine: Engine, database: URL) -> None:
    made = create_space(engine)
    add_vectors(engine, made, 30)
    make_live(engine, made)
    holder = make_engine(database, application_name="the writer")
    with holder.connect() as writer:
        writer.execute(text("DELETE FROM rag.embeddings_1 WHERE false"))
        with pytest.raises(ServiceError) as raised:
            ensure_index(engine, made, IndexBuildOptions(wait_s=0.5))
        message = str(raised.value)
        assert message.startswith(f"building the index {index_name(made)} waited 0.5 s for the writer (backend ")
        assert message.endswith("wait for that to end (or end it), then run again.")
        writer.rollback()
    holder.dispose()
    assert ensure_index(engine, made, IndexBuildOptions(wait_s=10)) in (IndexState.ABSENT, IndexState.INVALID)
    assert_one_valid_index(engine, made)


def test_a_change_of_the_schema_and_a_vacuum_in_the_middle_of_a_build_both_succeed(
    engine: Engine, space: EmbeddingSpace, database: URL
) -> None:
    done: list[str] = []
    # The DDL waits for the whole build, and is retried after it.
    patient = make_engine(database, options=EngineOptions(retry_s=120))

    def alter(connection: Connection) -> None:
        # As in a migration: first some statement, then one that takes an exclusive lock.
        connection.execute(text("SELECT count(*) FROM rag.embedding_spaces"))
        connection.execute(text("ALTER TABLE rag.embeddings ADD COLUMN more int"))
        connection.execute(text("ALTER TABLE rag.embeddings DROP COLUMN more"))

    def change() -> None:
        # The server cancels one side of a deadlock, which is then retried; migrations are retried too.
        run_write(patient, alter)
        done.append("changed")

    def vacuum() -> None:
        while "vacuumed" not in done:
            # The server cancels one side of a deadlock; it may be this one.
            with suppress(OperationalError):
                execute_statements(engine, "VACUUM (ANALYZE) rag.embeddings_1")
                done.append("vacuumed")

    with Builder(engine, space) as builder:
        wait_for_build(engine)
        others = [threading.Thread(target=work) for work in (change, vacuum)]
        for other in others:
            other.start()
        for other in others:
            other.join(120)
    patient.dispose()
    assert sorted(done) == ["changed", "vacuumed"]
    assert builder.outcome is IndexState.ABSENT
    assert_one_valid_index(engine, space)


@pytest.mark.parametrize(
    "squatter",
    [
        "CREATE TABLE rag.ix_embeddings_1_hnsw (x int)",
        "CREATE VIEW rag.ix_embeddings_1_hnsw AS SELECT 1 AS x",
        "CREATE INDEX ix_embeddings_1_hnsw ON rag.projects (description)",
    ],
    ids=["table", "view", "index-of-another-table"],
)
def test_an_object_with_the_name_of_the_index_is_kept(engine: Engine, squatter: str) -> None:
    from rag_assets.pipeline.audit import index
    from rag_assets.settings.settings import Settings

    made = create_space(engine)
    add_vectors(engine, made, 200)
    execute_statements(engine, squatter)
    before = rows(engine, "SELECT oid FROM pg_class WHERE relname = 'ix_embeddings_1_hnsw'")
    assert ensure_index(engine, made) is IndexState.ABSENT
    assert ensure_index(engine, made) is IndexState.VALID
    assert rebuild_index(engine, made) is IndexState.VALID
    make_live(engine, made)
    assert rebuild_index(engine, made) is IndexState.VALID
    assert list_indexes(engine, made) == [("ix_embeddings_1_hnsw_2", True)]
    assert rows(engine, "SELECT oid FROM pg_class WHERE relname = 'ix_embeddings_1_hnsw'") == before
    assert index.index_valid(engine, made).passed
    assert index.index_used(engine, made).passed
    assert index.recall_at_10(engine, made, Settings()).passed


def test_with_an_old_extension_nothing_is_built_and_the_error_says_what_to_run(engine: Engine) -> None:
    made = create_space(engine)
    add_vectors(engine, made, 30)
    [(version,)] = rows(engine, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    execute_statements(engine, "UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'")
    with pytest.raises(
        ServiceError, match=r"pgvector 0\.8\.3 .* is older than 0\.8\.4; .*ALTER EXTENSION vector UPDATE"
    ):
        ensure_index(engine, made)
    assert list_indexes(engine, made) == []
    execute_statements(engine, f"UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'vector'")
    assert ensure_index(engine, made) is IndexState.ABSENT
    assert_one_valid_index(engine, made)


def test_a_failed_build_gives_the_reason_and_leaves_neither_settings_nor_leftovers(engine: Engine) -> None:
    made = create_space(engine)
    add_vectors(engine, made, 3)
    make_live(engine, made)
    execute_statements(engine, "INSERT INTO rag.embeddings VALUES (1, '\\x00', '[1,2]')")
    with pytest.raises(psycopg.DataError, match="expected 8 dimensions, not 2"):
        ensure_index(engine, made)
    assert list_indexes(engine, made) == []
    opened = [engine.connect() for _ in range(5)]
    for setting in ("maintenance_work_mem", "lock_timeout", "statement_timeout", "client_connection_check_interval"):
        assert len({connection.scalar(text(f"SHOW {setting}")) for connection in opened}) == 1
    for connection in opened:
        connection.close()


# A separate server to break, limit and restart.


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer.at(tmp_path / "state")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def own_engine(server: EmbeddedServer) -> Iterator[Engine]:
    engine = make_engine(make_url(server.ensure_running()).set(drivername=DRIVER))
    migrations.upgrade(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def restart(server: EmbeddedServer) -> None:
    server.stop()
    server.ensure_running()


@pytest.mark.parametrize("how", ["restarted", "crashed"])
def test_a_build_outlives_the_server(own_server: EmbeddedServer, how: str) -> None:
    with own_engine(own_server) as engine:
        space = slow_space(engine)
        with Builder(engine, space) as builder:
            pid = wait_for_build(engine)
            if how == "restarted":
                restart(own_server)
            else:
                # When one backend is killed, PostgreSQL terminates all others and recovers.
                os.kill(pid, signal.SIGKILL)
        assert builder.outcome is IndexState.ABSENT
        assert_one_valid_index(engine, space)


@contextmanager
def files_at_most(server: EmbeddedServer, size: int) -> Iterator[None]:
    """Limit the size of the server's files: tables, indexes and shared memory cannot grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Processes inherit the limits of their parent.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        restart(server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    yield
    restart(server)


def large_space(engine: Engine) -> EmbeddingSpace:
    """An index of about 22 MB, built by parallel workers in 64 MB of shared memory."""
    made = create_space(engine, definition("f", dimensions=384, m=4, ef_construction=8))
    add_vectors(engine, made, 12_000)
    make_live(engine, made)
    return made


def test_shared_memory_that_is_too_small_makes_the_build_serial(own_server: EmbeddedServer) -> None:
    with own_engine(own_server) as engine:
        space = large_space(engine)
        with files_at_most(own_server, 48 * MIB):
            assert ensure_index(engine, space, IndexBuildOptions(wait_s=60)) is IndexState.ABSENT
        assert "shared memory" in own_server.log.read_text()
        assert_one_valid_index(engine, space)


def test_a_full_disk_is_reported_its_space_is_freed_and_the_next_build_succeeds(own_server: EmbeddedServer) -> None:
    with own_engine(own_server) as engine:
        space = large_space(engine)
        engine.dispose()
        # Less than the index, and more than a WAL segment.
        with files_at_most(own_server, 18 * MIB), pytest.raises(ServiceError) as raised:
            ensure_index(engine, space, IndexBuildOptions(wait_s=60))
        assert f"the server has no space for the index {index_name(space)}" in str(raised.value)
        assert list_indexes(engine, space) == []
        assert ensure_index(engine, space, IndexBuildOptions(wait_s=60)) is IndexState.ABSENT
        assert_one_valid_index(engine, space)

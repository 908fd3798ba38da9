"""Operations that are repeated after their connection breaks: reads always, writes unless COMMIT was sent."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from rag_assets.db.connections.engines import make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.retry import (
    run_idempotent_write,
    run_read,
    run_read_async,
    run_repeatable,
    run_write,
    run_write_async,
)
from rag_assets.db.connections.urls import DRIVER
from rag_assets.db.server.server import EmbeddedServer
from rag_assets.errors import ServiceError
from tests.support.pipeline.interrupts import Interrupted, interrupt_when

READER = EngineOptions(pre_ping=False, retry_s=10)


@pytest.fixture
def reader(database: URL) -> Iterator[Engine]:
    engine = make_engine(database, options=READER)
    yield engine
    engine.dispose()


def kill(admin: Engine, database: URL) -> int:
    """End every connection to the database, as a restart or an administrator does."""
    with admin.connect() as connection:
        killed = connection.scalars(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"),
            {"name": database.database},
        ).all()
    return len(killed)


def add_project(connection: Connection, name: str) -> int:
    connection.execute(
        text("INSERT INTO rag.projects (id, name, source_uri, settings) VALUES (gen_random_uuid(), :name, 'x', '{}')"),
        {"name": name},
    )
    return count_projects(connection)


def count_projects(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM rag.projects")).scalar_one()


class Breaking:
    """An operation whose own connection is killed under it, so many times."""

    def __init__(self, times: int, operation: Callable[[Connection], int]) -> None:
        self.left = times
        self.operation = operation

    def __call__(self, connection: Connection) -> int:
        result = self.operation(connection)
        if self.left:
            self.left -= 1
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return result


def test_a_read_is_repeated_when_pooled_connections_are_broken(reader: Engine, admin: Engine, database: URL) -> None:
    opened = [reader.connect() for _ in range(3)]
    for connection in opened:
        connection.close()
    assert kill(admin, database) == 3
    assert [run_read(reader, count_projects) for _ in range(4)] == [0, 0, 0, 0]
    statistics = pool_statistics(reader)
    # One failure tells that they all are broken: nobody runs into the others.
    assert (statistics.opened, statistics.recycled, statistics.in_use) == (4, 1, 0)


def test_a_read_is_repeated_when_its_connection_is_killed(reader: Engine) -> None:
    assert run_read(reader, Breaking(2, count_projects)) == 0


def test_a_write_is_repeated_when_its_connection_breaks_before_commit(engine: Engine) -> None:
    assert run_write(engine, Breaking(2, lambda connection: add_project(connection, "zoo"))) == 1
    assert run_read(engine, count_projects) == 1


def test_work_on_connections_of_its_own_is_repeated(engine: Engine, admin: Engine, database: URL) -> None:
    attempts: list[str] = []

    def work(name: str) -> int:
        with engine.connect() as connection:
            attempts.append(name)
            if len(attempts) < 3:
                kill(admin, database)
            if len(attempts) < 2:
                # The driver's own error, without SQLAlchemy.
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("SELECT 1")
            return count_projects(connection)

    assert run_repeatable(engine, work, "zoo") == 0
    assert attempts == ["zoo"] * 3
    with engine.connect() as connection, pytest.raises(ProgrammingError):
        run_repeatable(engine, connection.execute, text("SELECT nothing"))


def test_a_write_is_repeated_after_a_conflict(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counters (id int PRIMARY KEY, n int)"))
        connection.execute(text("INSERT INTO counters VALUES (1, 0), (2, 0)"))
    both = threading.Barrier(2)
    first_time = {1, 2}

    def add_to_both(connection: Connection, first: int) -> None:
        for id_ in (first, 3 - first):
            connection.execute(text("UPDATE counters SET n = n + 1 WHERE id = :id"), {"id": id_})
            if id_ == first and first in first_time:
                first_time.discard(first)
                both.wait(timeout=20)

    threads = [threading.Thread(target=run_write, args=(engine, add_to_both, id_)) for id_ in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT n FROM counters")).all() == [2, 2]


def break_at_commit(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON rag.projects DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION die()"
            )
        )


def test_a_write_that_breaks_during_commit_is_an_error_and_not_repeated(engine: Engine) -> None:
    break_at_commit(engine)
    calls: list[str] = []

    def operation(connection: Connection) -> int:
        calls.append("called")
        return add_project(connection, "zoo")

    with pytest.raises(ServiceError, match=r"broke during COMMIT.*is not known"):
        run_write(engine, operation)
    assert calls == ["called"]


def test_the_async_forms_do_the_same(database: URL, admin: Engine, engine: Engine) -> None:
    async def use() -> list[int]:
        asynchronous = make_async_engine(database, options=READER)
        results = [await run_read_async(asynchronous, count_projects)]
        kill(admin, database)
        results.append(await run_read_async(asynchronous, Breaking(1, count_projects)))
        results.append(await run_write_async(asynchronous, Breaking(1, lambda c: add_project(c, "zoo"))))
        await asyncio.to_thread(break_at_commit, engine)
        with pytest.raises(ServiceError, match="is not known"):
            await run_write_async(asynchronous, add_project, "sea")
        await asynchronous.dispose()
        return results

    assert asyncio.run(use()) == [0, 0, 1]


def test_an_error_of_the_statement_is_raised_without_retry_and_values(engine: Engine) -> None:
    calls: list[str] = []

    def wrong(connection: Connection) -> None:
        calls.append("called")
        connection.execute(text("SELECT 1 / 0 + length(:secret)"), {"secret": "hunter2"})

    with pytest.raises(DBAPIError) as raised:
        run_write(engine, wrong)
    assert len(calls) == 1
    assert "division by zero" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_server_that_does_not_come_back_is_an_error_in_time() -> None:
    engine = make_engine(
        make_url(f"{DRIVER}://nobody@127.0.0.1:1/nowhere"), options=EngineOptions(retry_s=0.4, pre_ping=False)
    )
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"does not answer: .*refused.* \(\d+ attempts in"):
        run_read(engine, count_projects)
    assert 0.1 < time.monotonic() - started < 20


def test_a_wrong_password_is_not_retried(database: URL) -> None:
    engine = make_engine(database.set(password="wrong"), options=READER)
    with pytest.raises(ServiceError, match=r"refuses the connection: .*password") as raised:
        run_read(engine, count_projects)
    assert "attempts" not in str(raised.value)


def test_a_primary_that_became_read_only_is_left(engine: Engine, admin: Engine, database: URL) -> None:
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {database.database} SET default_transaction_read_only = on"))
    old = make_engine(database)
    with old.connect():
        pass
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {database.database} RESET default_transaction_read_only"))
    # A new connection reaches one that writes.
    assert run_write(old, add_project, "zoo") == 1
    old.dispose()


def test_work_goes_on_across_a_restart_of_the_server(tmp_path: Path) -> None:
    server = EmbeddedServer.at(tmp_path / "state")
    url = make_url(server.ensure_running()).set(drivername=DRIVER)
    engine = make_engine(url, options=EngineOptions(retry_s=60))
    try:
        run_write(engine, lambda c: c.execute(text("CREATE TABLE done (n int PRIMARY KEY)")) and None)
        restarted = threading.Event()

        def restart() -> None:
            server.stop()
            server.ensure_running()
            restarted.set()

        def write(connection: Connection, n: int) -> None:
            connection.execute(text("INSERT INTO done VALUES (:n)"), {"n": n})

        thread = threading.Thread(target=restart)
        acknowledged: list[int] = []
        for n in range(2000):
            try:
                run_write(engine, write, n)
            except ServiceError as error:
                assert "is not known" in str(error)  # noqa: PT017 - most often it is not raised
            else:
                acknowledged.append(n)
            if n == 20:
                thread.start()
            if n > 40 and restarted.is_set():
                break
        thread.join(timeout=60)
        assert restarted.is_set()
        with engine.connect() as connection:
            stored = set(connection.scalars(text("SELECT n FROM done")))
        assert stored >= set(acknowledged)
        assert len(acknowledged) > 40
    finally:
        engine.dispose()
        server.stop()


def test_a_cancelled_caller_cancels_its_statement_and_returns_its_connection(database: URL, admin: Engine) -> None:
    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(600)"))

    def sleeping() -> int:
        with admin.connect() as connection:
            return connection.execute(
                text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND query LIKE '%pg_sleep(600)%'"),
                {"name": database.database},
            ).scalar_one()

    async def use() -> None:
        engine = make_async_engine(database, options=READER)
        for read_or_write in (run_read_async, run_write_async):
            task = asyncio.create_task(read_or_write(engine, sleep))
            while not await asyncio.to_thread(sleeping):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool_statistics(engine).in_use == 0
            while await asyncio.to_thread(sleeping):
                await asyncio.sleep(0.01)
        assert await run_read_async(engine, count_projects) == 0
        await engine.dispose()

    asyncio.run(asyncio.wait_for(use(), timeout=60))


def test_a_caller_that_is_ended_by_a_signal_leaves_no_statement_behind(engine: Engine, admin: Engine) -> None:
    sleeping = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = :name AND query = 'SELECT pg_sleep(600)' AND state = 'active'"
    )

    def until(wanted: bool) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with admin.connect() as connection:
                if bool(connection.scalars(sleeping, {"name": engine.url.database}).all()) is wanted:
                    return
            time.sleep(0.01)
        raise AssertionError(f"sleeping is not {wanted}")

    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(600)"))

    with pytest.raises(Interrupted), interrupt_when(lambda: until(True)):
        run_idempotent_write(engine, sleep)
    until(False)
    assert run_read(engine, count_projects) == 0

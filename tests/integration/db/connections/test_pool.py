"""Connection pools: first come, first served; statistics; waiting clients that give up; closing."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from rag_assets.db.connections.engines import make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.retry import run_read, run_read_async
from rag_assets.db.database import close_async_engine, close_engine
from rag_assets.errors import ServiceError

ONE = EngineOptions(pool_size=1, pool_timeout_s=60)


@pytest.fixture
def one(database: URL) -> Iterator[Engine]:
    """A pool with one connection, for which clients queue."""
    engine = make_engine(database, options=ONE)
    yield engine
    engine.dispose()


def until_waiting(engine: Engine, clients: int) -> None:
    while pool_statistics(engine).waiting < clients:
        time.sleep(0.005)


def test_threads_get_connections_in_the_order_in_which_they_came(one: Engine) -> None:
    served: list[int] = []

    def ask(number: int) -> None:
        with one.connect():
            served.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    with one.connect():
        for number, thread in enumerate(threads):
            thread.start()
            until_waiting(one, number + 1)
    for thread in threads:
        thread.join(timeout=60)
    assert served == list(range(8))
    assert pool_statistics(one).opened == 1


def test_a_client_that_returns_and_asks_again_does_not_overtake(database: URL) -> None:
    async def use() -> list[int]:
        engine = make_async_engine(database, options=ONE)
        served: list[int] = []

        async def ask(number: int) -> None:
            for _ in range(5):
                async with engine.connect():
                    served.append(number)

        await asyncio.gather(*(ask(number) for number in range(6)))
        await engine.dispose()
        return served

    # In rounds, each client once.
    assert [sorted(round_) for round_ in zip(*[iter(asyncio.run(use()))] * 6, strict=True)] == [list(range(6))] * 5


def test_statistics_count_connections_and_clients(database: URL) -> None:
    engine = make_engine(database, options=EngineOptions(pool_size=2, pool_overflow=1, pool_timeout_s=0.2))
    opened = [engine.connect() for _ in range(3)]
    with pytest.raises(ServiceError, match=r"all 3 connections of the pool were in use for 0.2 s; raise"):
        engine.connect()
    statistics = pool_statistics(engine)
    assert (statistics.size, statistics.maximum, statistics.in_use, statistics.idle) == (2, 3, 3, 0)
    assert (statistics.timeouts, statistics.served, statistics.opened, statistics.waiting) == (1, 3, 3, 0)
    for connection in opened:
        connection.close()
    # The one beyond the size is not kept.
    assert (pool_statistics(engine).in_use, pool_statistics(engine).idle) == (0, 2)
    assert statistics.metadata() == {
        "pool_size": 2,
        "pool_maximum": 3,
        "pool_in_use": 3,
        "pool_idle": 0,
        "pool_waiting": 0,
        "pool_served": 3,
        "pool_timeouts": 1,
        "pool_opened": 3,
        "pool_recycled": 0,
    }
    engine.dispose()
    assert pool_statistics(engine).timeouts == 1, "forgotten with the connections"


def test_old_connections_are_replaced(database: URL) -> None:
    engine = make_engine(database, options=EngineOptions(pool_size=1, pool_recycle_s=0.01))
    pids = set()
    for _ in range(3):
        with engine.connect() as connection:
            pids.add(connection.scalar(text("SELECT pg_backend_pid()")))
        time.sleep(0.05)
    assert len(pids) == 3
    statistics = pool_statistics(engine)
    assert statistics.recycled == statistics.opened - 1 >= 2
    engine.dispose()


def test_a_client_that_gives_up_leaves_the_queue(database: URL) -> None:
    async def use() -> None:
        engine = make_async_engine(database, options=ONE)
        async with engine.connect():
            waiting = [asyncio.create_task(run_read_async(engine, lambda c: c.scalar(text("SELECT 1")))) for _ in "ab"]
            while pool_statistics(engine).waiting < 2:
                await asyncio.sleep(0.005)
            waiting[0].cancel()
            await asyncio.wait(waiting[:1])
            assert pool_statistics(engine).waiting == 1
        assert await waiting[1] == 1
        assert pool_statistics(engine).in_use == 0
        await engine.dispose()

    asyncio.run(asyncio.wait_for(use(), timeout=60))


def test_a_connection_handed_to_a_cancelled_client_goes_to_the_next(database: URL) -> None:
    async def use() -> None:
        engine = make_async_engine(database, options=ONE)
        held = await engine.connect()
        waiting = [asyncio.create_task(run_read_async(engine, lambda c: c.scalar(text("SELECT 1")))) for _ in "ab"]
        while pool_statistics(engine).waiting < 2:
            await asyncio.sleep(0.005)
        giving = asyncio.create_task(held.close())
        # The moment in which the connection is the first one's already, who has not run yet.
        while pool_statistics(engine).waiting == 2:
            await asyncio.sleep(0)
        waiting[0].cancel()
        assert await waiting[1] == 1
        await giving
        assert pool_statistics(engine).in_use == 0
        await engine.dispose()

    asyncio.run(asyncio.wait_for(use(), timeout=60))


def test_waiting_clients_do_not_hang_when_connecting_fails_for_others(database: URL) -> None:
    """Nobody gives anything back then: those in the queue must try for themselves, and fail with the reason."""
    engine = make_engine(database.set(password="wrong"), options=EngineOptions(pool_size=1, pool_timeout_s=600))
    errors: list[Exception] = []

    def ask() -> None:
        try:
            engine.connect()
        except OperationalError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(errors) == 6


def test_readers_and_writers_do_not_wait_for_each_other(database: URL, one: Engine) -> None:
    reader = make_engine(database, options=ONE)
    with one.connect():
        assert run_read(reader, lambda c: c.scalar(text("SELECT 1"))) == 1
    reader.dispose()


def sleep(connection: Connection, seconds: float) -> str:
    connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
    return "slept"


def test_closing_lets_statements_end_and_refuses_new_ones(one: Engine) -> None:
    said: list[str] = []

    def ask(seconds: float) -> None:
        try:
            said.append(run_read(one, sleep, seconds))
        except ServiceError as error:
            said.append(str(error))

    threads = []
    for seconds in (0.5, 0.0):
        threads.append(threading.Thread(target=ask, args=(seconds,)))
        threads[-1].start()
        while pool_statistics(one).in_use == 0:
            time.sleep(0.005)
    until_waiting(one, 1)
    assert close_engine(one, grace_s=30) == 0
    for thread in threads:
        thread.join(timeout=30)
    refused = "the connections to the database are being closed; no new work is accepted."
    assert sorted(said) == sorted(["slept", refused])
    with pytest.raises(ServiceError, match="being closed"):
        one.connect()


def test_statements_that_outlast_the_grace_period_are_cancelled(database: URL, admin: Engine) -> None:
    async def use() -> tuple[int, float]:
        engine = make_async_engine(database, options=ONE)
        task = asyncio.create_task(run_read_async(engine, sleep, 600))
        while pool_statistics(engine).in_use == 0:
            await asyncio.sleep(0.005)
        started = time.monotonic()
        cut = await close_async_engine(engine, grace_s=0.2)
        with pytest.raises(DBAPIError, match="cancel"):
            await task
        return cut, time.monotonic() - started

    cut, took_s = asyncio.run(use())
    assert cut == 1
    assert took_s < 30
    with admin.connect() as connection:
        left = connection.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"), {"name": database.database}
        )
    assert left == 0


def test_a_statement_that_hangs_in_a_thread_is_cancelled_too(one: Engine) -> None:
    said: list[str] = []

    def ask() -> None:
        try:
            run_read(one, sleep, 600)
        except DBAPIError as error:
            said.append(str(error.orig))

    thread = threading.Thread(target=ask)
    thread.start()
    while pool_statistics(one).in_use == 0:
        time.sleep(0.005)
    time.sleep(0.1)
    assert close_engine(one, grace_s=0.1) == 1
    thread.join(timeout=30)
    assert said == ["canceling statement due to user request"]


def test_the_connection_that_was_lent_most_is_lent_next(database: URL) -> None:
    engine = make_engine(database, options=EngineOptions(pool_size=3))

    def server(connection: Connection) -> int:
        return int(connection.scalar(text("SELECT pg_backend_pid()")))

    for _ in range(5):
        with engine.connect() as connection:
            most = server(connection)
    with engine.connect() as first, engine.connect() as second:
        assert server(first) == most
        other = server(second)
        first.close()
    # The other one came back last.
    with engine.connect() as connection:
        assert server(connection) == most
        connection.invalidate()
    # What takes its place is as new as any.
    with engine.connect() as connection:
        assert server(connection) == other
    engine.dispose()

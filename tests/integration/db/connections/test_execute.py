"""Statements without a transaction, each on a pooled connection that is returned at once."""

import asyncio
import signal
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Connection, Engine, Text, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ManagesConnection

from rag_assets.db.connections.compiled import compile_statement
from rag_assets.db.connections.engines import make_async_engine, make_engine
from rag_assets.db.connections.execute import AutocommitRunner, run_compiled
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.sqlalchemy_internals import greenlet_spawn
from rag_assets.db.writes.copy import copy_rows

_OPTIONS = EngineOptions(autocommit=True, pre_ping=False, pool_size=1, pool_overflow=0, pool_timeout_s=5)
_BACKEND = compile_statement(select(text("pg_backend_pid()")))
_LONG = compile_statement(select(text("1 FROM pg_sleep(60)")))
_WRONG = compile_statement(select(text("1 / (random() * 0)::int")))


def _nothing(_: ManagesConnection) -> None:
    pass


@pytest.fixture
def reader(engine: Engine) -> Iterator[Engine]:
    made = make_engine(engine.url, options=_OPTIONS)
    yield made
    made.dispose()


def backend(single: AutocommitRunner) -> Any:
    [(pid,)] = run_compiled(single, _BACKEND, {})
    return pid


def end(engine: Engine, pid: int) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_statements_share_one_connection_and_return_it(reader: Engine) -> None:
    prepared: list[Any] = []
    single = AutocommitRunner(reader, lambda entry: prepared.append(entry.driver_connection))
    first = backend(single)
    assert single.scalar(select(text("pg_backend_pid()"))) == first == backend(single)
    assert len(set(map(id, prepared))) == 1
    found = pool_statistics(reader)
    assert (found.in_use, found.idle, found.opened, found.served) == (0, 1, 1, 3)


def test_an_error_is_sqlalchemys_and_keeps_the_connection(reader: Engine) -> None:
    single = AutocommitRunner(reader, _nothing)
    first = backend(single)
    with pytest.raises(DBAPIError, match="division by zero") as caught:
        run_compiled(single, _WRONG, {})
    assert caught.value.orig.sqlstate == "22012"  # type: ignore[union-attr]
    assert not caught.value.connection_invalidated
    assert backend(single) == first


def test_a_refused_connection_is_sqlalchemys_error(engine: Engine) -> None:
    nowhere = make_engine(engine.url.set(database="nowhere"), options=_OPTIONS)
    for _ in range(2):
        with pytest.raises(DBAPIError, match='database "nowhere" does not exist'):
            backend(AutocommitRunner(nowhere, _nothing))
    assert pool_statistics(nowhere).in_use == 0
    nowhere.dispose()


def test_a_broken_connection_is_invalidated_and_replaced(engine: Engine, reader: Engine) -> None:
    single = AutocommitRunner(reader, _nothing)
    first = backend(single)
    end(engine, first)
    with pytest.raises(DBAPIError) as caught:
        backend(single)
    assert caught.value.connection_invalidated
    assert backend(single) != first
    found = pool_statistics(reader)
    assert (found.in_use, found.opened, found.recycled) == (0, 2, 1)


def test_of_several_broken_connections_one_alone_raises(engine: Engine) -> None:
    two = make_engine(engine.url, options=EngineOptions(autocommit=True, pre_ping=False, pool_size=2))
    with two.connect() as one, two.connect() as other:
        pids = {one.scalar(text("SELECT pg_backend_pid()")), other.scalar(text("SELECT pg_backend_pid()"))}
    for pid in pids:
        end(engine, pid)
    single = AutocommitRunner(two, _nothing)
    with pytest.raises(DBAPIError):
        backend(single)
    with two.connect() as one, two.connect() as other:
        again = {one.scalar(text("SELECT pg_backend_pid()")), other.scalar(text("SELECT pg_backend_pid()"))}
    assert len(again - pids) == 2
    two.dispose()


class _Interrupted(BaseException):
    pass


def test_an_interrupt_unknown_to_the_driver_leaves_no_busy_connection(reader: Engine) -> None:
    single = AutocommitRunner(reader, _nothing)
    first = backend(single)

    def interrupt(*_: Any) -> None:
        raise _Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(_Interrupted):
            run_compiled(single, _LONG, {})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert backend(single) != first
    assert pool_statistics(reader).in_use == 0


def test_a_cancelled_task_cancels_its_statement_and_returns_its_connection(engine: Engine) -> None:
    async def main() -> tuple[Any, Any]:
        made = make_async_engine(engine.url, options=_OPTIONS)
        single = AutocommitRunner(made.sync_engine, _nothing)
        first = await greenlet_spawn(backend, single)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(greenlet_spawn(run_compiled, single, _LONG, {}), 0.3)
        again = await asyncio.wait_for(greenlet_spawn(backend, single), 5)
        await made.dispose()
        return first, again

    first, again = asyncio.run(main())
    assert first == again


def test_engines_with_listeners_or_pings_are_not_supported(engine: Engine) -> None:
    plain = make_engine(engine.url, options=_OPTIONS)
    assert AutocommitRunner.supports(plain)
    event.listen(plain, "before_cursor_execute", lambda *_: None)
    assert not AutocommitRunner.supports(plain)
    heard = make_engine(engine.url, options=_OPTIONS)
    event.listen(heard.pool, "checkout", lambda *_: None)
    assert not AutocommitRunner.supports(heard)
    assert not AutocommitRunner.supports(make_engine(engine.url, options=EngineOptions(autocommit=True, pre_ping=True)))


def fail_on_a_row(way: str, connection: Connection) -> None:
    if way == "execute":
        connection.execute(text("CREATE TEMPORARY TABLE secrets (words text PRIMARY KEY CHECK (length(words) < 20))"))
        connection.execute(text("INSERT INTO secrets SELECT 'the secret words ' || repeat('of mine', 5)"))
    elif way == "copy":
        copy_rows(connection, "incoming", [Column("words", Text)], [("secret \0 words",)])
    else:
        run_compiled(connection, compile_statement(select(text("('secret ' || 'words')::int"))), {})


@pytest.mark.parametrize(
    ("way", "reason"), [("execute", "violates check"), ("copy", "0x00"), ("run_compiled", "invalid input")]
)
def test_an_error_about_a_row_does_not_quote_it(engine: Engine, way: str, reason: str) -> None:
    with engine.connect() as connection, pytest.raises((DBAPIError, psycopg.Error)) as caught:
        fail_on_a_row(way, connection)
    said = "".join(traceback.format_exception(caught.value))
    assert reason in said
    for quoted in ("DETAIL", "CONTEXT", "of mineof mine"):
        assert quoted not in said

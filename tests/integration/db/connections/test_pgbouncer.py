"""A real pgbouncer in transaction mode: it is detected, sessions keep no state, and locks bypass it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import OperationalError

from rag_assets.db.connections.engines import direct_engine, make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pooler import get_connection_setup
from rag_assets.db.connections.retry import run_read, run_write_async
from rag_assets.db.database import dispose_engines
from rag_assets.db.locks import hold_lock
from rag_assets.errors import ServiceError, UsageError
from tests.support.database.pgbouncer import needs_pgbouncer, run_pgbouncer

pytestmark = needs_pgbouncer

LIMITED = EngineOptions(statement_timeout_s=0.5, lock_timeout_s=0.25, pool_size=5, retry_s=10)


@pytest.fixture(scope="module")
def pooler(server: URL) -> Iterator[URL]:
    with run_pgbouncer(server) as url:
        yield url


@pytest.fixture
def through(pooler: URL, database: URL) -> URL:
    """The test's own database, through the pooler."""
    return pooler.set(database=database.database)


@pytest.fixture
def engine_through(through: URL) -> Iterator[Engine]:
    engine = make_engine(through, options=LIMITED)
    yield engine
    engine.dispose()


def is_pooled(engine: Engine) -> bool:
    link = get_connection_setup(engine)
    assert link is not None
    return link.is_pooled(engine)


def backends(connection: Connection) -> int:
    return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()


def test_a_pooler_is_detected_at_any_url(engine_through: Engine, engine: Engine) -> None:
    assert is_pooled(engine_through)
    assert not is_pooled(engine)


def test_a_pooler_that_ignores_startup_parameters_is_detected(server: URL) -> None:
    with run_pgbouncer(server, ignored="options") as url:
        engine = make_engine(url, options=LIMITED)
        assert is_pooled(engine)
        with pytest.raises(OperationalError, match="statement timeout"), engine.begin() as connection:
            connection.execute(text("SELECT pg_sleep(30)"))
        engine.dispose()


def test_the_setting_overrides_the_detection(through: URL) -> None:
    told = make_engine(through, options=EngineOptions(pooler=False))
    assert not is_pooled(told)
    assert direct_engine(told, "a lock") is told
    told.dispose()


def test_statements_go_to_many_sessions_and_none_is_prepared(engine_through: Engine) -> None:
    opened = [engine_through.connect() for _ in range(3)]
    assert len({backends(connection) for connection in opened}) == 3
    for connection in opened:
        connection.close()
    seen = set()
    for _ in range(30):
        with engine_through.begin() as connection:
            seen.add(backends(connection))
    assert len(seen) == 3
    for _ in range(30):
        with engine_through.begin() as connection:
            prepared = connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
            assert prepared == 0


def test_timeouts_apply_to_each_transaction_and_leave_no_trace_in_sessions(engine_through: Engine) -> None:
    with engine_through.begin() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "500ms"
        assert connection.scalar(text("SHOW lock_timeout")) == "250ms"
    with pytest.raises(OperationalError, match="statement timeout"), engine_through.begin() as connection:
        connection.execute(text("SELECT pg_sleep(30)"))
    with engine_through.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        left = {connection.scalar(text("SHOW statement_timeout")) for _ in range(9)}
    assert left == {"0"}


def test_a_lock_without_a_direct_url_is_a_clear_error(engine_through: Engine) -> None:
    with (
        pytest.raises(UsageError, match=r"the lock 'zoo' needs a session of its own.*RAG_ASSETS_DIRECT_DATABASE_URL"),
        hold_lock(engine_through, "zoo", wait_s=1),
    ):
        pytest.fail("held in a session that others get")


def test_a_lock_bypasses_the_pooler(through: URL, database: URL, engine: Engine) -> None:
    pooled_engine = make_engine(through, options=replace(LIMITED, direct_url=database))
    with (
        hold_lock(pooled_engine, "zoo", wait_s=1),
        pytest.raises(ServiceError, match="rag_assets direct"),
        hold_lock(engine, "zoo", wait_s=0.1),
    ):
        pass
    with hold_lock(engine, "zoo", wait_s=0):
        pass
    pooled_engine.dispose()
    dispose_engines()


def test_a_direct_url_of_a_pooler_is_a_clear_error(through: URL) -> None:
    engine = make_engine(through, options=replace(LIMITED, direct_url=through))
    with (
        pytest.raises(UsageError, match="which RAG_ASSETS_DIRECT_DATABASE_URL names, is a pooler too"),
        hold_lock(engine, "zoo", wait_s=1),
    ):
        pass
    engine.dispose()
    dispose_engines()


def test_work_is_repeated_when_a_session_behind_the_pooler_ends(
    engine_through: Engine, database: URL, admin: Engine
) -> None:
    assert run_read(engine_through, backends) > 0
    with admin.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"),
            {"name": database.database},
        )
    assert run_read(engine_through, backends) > 0


def test_tls_is_required_if_the_setting_says_so(through: URL) -> None:
    engine = make_engine(through, options=replace(LIMITED, tls=(("sslmode", "require"),)))
    with pytest.raises(OperationalError, match="SSL was required"):
        engine.connect()
    engine.dispose()


def test_many_tasks_share_the_few_sessions_of_the_pooler(through: URL, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counters (n int)"))
        connection.execute(text("INSERT INTO counters VALUES (0)"))

    def add(connection: Connection) -> None:
        connection.execute(text("UPDATE counters SET n = n + 1"))

    async def use() -> None:
        asynchronous = make_async_engine(through, options=EngineOptions(pool_size=10))
        await asyncio.gather(*(run_write_async(asynchronous, add) for _ in range(100)))
        await asynchronous.dispose()

    asyncio.run(use())
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT n FROM counters")) == 100


def test_what_reading_depends_on_is_fixed_through_a_pooler_too(through: URL, admin: Engine) -> None:
    settings = {
        "datestyle": "German",
        "intervalstyle": "sql_standard",
        "timezone": "Asia/Kathmandu",
        "extra_float_digits": "-15",
        "transform_null_equals": "on",
    }
    for name, value in settings.items():
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {through.database} SET {name} = '{value}'"))
    engine = make_engine(through, options=LIMITED)
    for _ in range(3):
        with engine.connect() as connection:
            moment, span = connection.execute(text("SELECT timestamptz '2024-02-29 12:00+00', interval '1 day'")).one()
            assert (moment.isoformat(), span.days) == ("2024-02-29T12:00:00+00:00", 1)
            assert connection.execute(text("SELECT 0.1::float8 + 0.2, 1 = NULL")).one() == (0.1 + 0.2, None)
    engine.dispose()

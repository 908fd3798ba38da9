"""Engines, sync and async, as the settings make them, and how long they live."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import OperationalError

from rag_assets.db.connections.engines import direct_engine, make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import pool_statistics
from rag_assets.db.connections.pooler import get_connection_setup
from rag_assets.db.connections.urls import looks_like_pooler
from rag_assets.db.database import (
    close_async_engines,
    close_engines,
    dispose_async_engines,
    dispose_engines,
    new_engine,
    shared_async_engine,
    shared_engine,
)
from rag_assets.db.locks import hold_lock
from rag_assets.db.schema import migrations
from rag_assets.errors import ServiceError, UsageError
from rag_assets.settings.settings import Settings, load_settings

SET = {
    "APPLICATION_NAME": "shop",
    "STATEMENT_TIMEOUT_S": "7.5",
    "LOCK_TIMEOUT_S": "2",
    "POOL_MIN": "2",
    "POOL_SIZE": "3",
    "POOL_OVERFLOW": "1",
}


@pytest.fixture
def configured(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in SET.items():
        monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    return load_settings()


def session_settings(connection: Connection) -> tuple[str, ...]:
    names = ("application_name", "statement_timeout", "lock_timeout")
    return tuple(str(connection.scalar(text("SELECT current_setting(:name)"), {"name": name})) for name in names)


def test_the_settings_make_the_engines_of_each_role(configured: Settings) -> None:
    found = {}
    for role in ("read", "write", "direct"):
        engine = shared_engine(configured, role)  # type: ignore[arg-type]
        with engine.connect() as connection:
            found[role] = session_settings(connection)
    assert found == {
        "read": ("shop read", "7500ms", "2s"),
        "write": ("shop", "7500ms", "2s"),
        "direct": ("shop direct", "0", "0"),
    }
    reader, writer = shared_engine(configured, "read"), shared_engine(configured, "write")
    assert reader.pool is not writer.pool
    for engine in (reader, writer):
        statistics = pool_statistics(engine)
        # Opened ahead, and no more.
        assert (statistics.size, statistics.maximum, statistics.opened) == (3, 4, 2)


def test_async_engines_are_made_of_the_same_settings(configured: Settings) -> None:
    async def use() -> tuple[tuple[str, ...], int]:
        engine = await shared_async_engine(configured, "read")
        opened = pool_statistics(engine).opened
        async with engine.connect() as connection:
            found = await connection.run_sync(session_settings)
        await dispose_async_engines()
        return found, opened

    assert asyncio.run(use()) == (("shop read", "7500ms", "2s"), 2)


def test_a_statement_that_takes_too_long_is_ended(database: URL) -> None:
    engine = make_engine(database, options=EngineOptions(statement_timeout_s=0.1))
    with engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(600)"))
    # Whatever a search sets for itself is its own; what an index build or a lock needs is set back.
    with hold_lock(engine, "zoo", wait_s=1):
        pass
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "100ms"
    engine.dispose()


def test_a_wait_for_a_lock_is_not_a_statement_that_takes_too_long(database: URL, engine: Engine) -> None:
    limited = make_engine(database, options=EngineOptions(statement_timeout_s=0.1, lock_timeout_s=0.05))
    with (
        hold_lock(engine, "zoo", wait_s=1),
        pytest.raises(ServiceError, match=r"for more than 0\.4 s"),
        hold_lock(limited, "zoo", wait_s=0.4),
    ):
        pass
    limited.dispose()


def test_session_options_of_the_url_apply_beside_the_timeouts(database: URL) -> None:
    url = database.update_query_dict({"options": "-c work_mem=5MB -c statement_timeout=99s"})
    engine = make_engine(url, options=EngineOptions(statement_timeout_s=1))
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW work_mem")) == "5MB"
        assert connection.scalar(text("SHOW statement_timeout")) == "99s"
    engine.dispose()


def test_tls_follows_the_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = {"SSL_MODE": "verify-full", "SSL_ROOT_CERT": "system", "SSL_CERT": "/c.crt", "SSL_KEY": "/c.key"}
    for name, value in tls.items():
        monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    for role in ("read", "write", "direct"):
        arguments = EngineOptions.from_settings(load_settings(), role).engine_arguments()["connect_args"]  # type: ignore[arg-type]
        assert {name: arguments[name] for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")} == {
            name.lower().replace("_", "", 1).replace("root_", "root"): value for name, value in tls.items()
        }


@pytest.mark.parametrize(
    ("name", "value"),
    [("SSL_MODE", "verify-fully"), ("POOL_SIZE", "0"), ("STATEMENT_TIMEOUT_S", "-1"), ("POOLER", "perhaps")],
)
def test_an_invalid_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    with pytest.raises(UsageError, match=f"RAG_ASSETS_{name} '{value}'"):
        load_settings()


@pytest.mark.parametrize("name", ["DATABASE_URL", "DIRECT_DATABASE_URL"])
@pytest.mark.parametrize("value", ["mysql://me:hunter2@host/db", "nonsense hunter2"])
def test_an_invalid_url_is_named_without_its_password(
    name: str, value: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"RAG_ASSETS_{name}", value)
    with pytest.raises(UsageError, match=f"RAG_ASSETS_{name} ") as raised:
        new_engine(load_settings())
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "pooled"),
    [
        ("postgresql://u@ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech/db", True),
        ("postgresql://u@ep-cool-darkness-123456.us-east-2.aws.neon.tech/db", False),
        ("postgresql://u@aws-0-eu-west-1.pooler.supabase.com:6543/db", True),
        ("postgresql://u@aws-0-eu-west-1.pooler.supabase.com:5432/db", False),
        ("postgresql://u@localhost:6432/db", True),
        ("postgresql://u@localhost/db?pgbouncer=true", True),
        ("postgresql://u@localhost/db", False),
        ("postgresql://u@/db?host=/run/postgresql", False),
    ],
)
def test_poolers_are_recognized_by_their_urls(url: str, pooled: bool) -> None:
    assert looks_like_pooler(make_url(url)) is pooled


def test_locks_use_the_direct_url_where_one_is_set(database: URL, engine: Engine) -> None:
    assert direct_engine(engine, "a lock") is engine
    other = make_engine(database, options=EngineOptions(direct_url=database))
    direct = direct_engine(other, "a lock")
    assert direct is not other
    assert direct is direct_engine(other, "another lock")
    link = get_connection_setup(direct)
    assert link is not None
    assert link.options.application_name == "rag_assets direct"
    other.dispose()
    dispose_engines()


def test_an_engine_of_another_maker_is_its_own_direct_engine(database: URL) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(database)
    with hold_lock(engine, "zoo", wait_s=1):
        pass
    engine.dispose()


def test_the_schema_is_upgraded_once_for_all_roles(
    empty_database: URL, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_DATABASE_URL", empty_database.render_as_string(hide_password=False))

    async def use() -> str | None:
        engine = await shared_async_engine(load_settings(), "read")
        async with engine.connect() as connection:
            revision = await connection.run_sync(migrations.read_revision)
        assert await close_async_engines() == 0
        return revision

    assert asyncio.run(use()) == migrations.head_revision()
    assert migrations.current_revision(shared_engine(load_settings(), "read")) == migrations.head_revision()
    assert close_engines() == 0


def test_an_async_engine_works_and_ends_in_one_loop_after_another(database: URL) -> None:
    async def name() -> str:
        engine = make_async_engine(database, application_name="a test")
        async with engine.connect() as connection:
            found = await connection.scalar(text("SELECT current_setting('application_name')"))
        await engine.dispose()
        return str(found)

    assert [asyncio.run(name()) for _ in range(2)] == ["a test", "a test"]


def test_an_async_engine_is_shared_within_one_event_loop(settings: Settings) -> None:
    async def use() -> int:
        first, second = await shared_async_engine(settings), await shared_async_engine(settings)
        assert first is second
        async with first.connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM rag.projects")) == 0
        await dispose_async_engines()
        assert await shared_async_engine(settings) is not first
        await dispose_async_engines()
        return 0

    asyncio.run(use())
    asyncio.run(use())


@pytest.mark.parametrize("make", [make_engine, make_async_engine])
def test_connecting_to_a_server_that_accepts_nothing_times_out(make: Callable[..., object]) -> None:
    """A listening socket that nobody answers at: what a hanging host looks like."""
    import socket
    import time

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        url = make_url(f"postgresql+psycopg://nobody@127.0.0.1:{deaf.getsockname()[1]}/nowhere")
        engine = make(url, options=EngineOptions(connect_timeout_s=2))
        started = time.monotonic()

        async def connect() -> None:
            async with engine.connect():  # type: ignore[attr-defined]
                pass

        with pytest.raises(OperationalError, match="timeout"):
            engine.connect() if isinstance(engine, Engine) else asyncio.run(connect())
    assert time.monotonic() - started < 60


def test_sync_use_does_not_import_asyncio_engines() -> None:
    ours = "rag_assets.db.connections.engines, rag_assets.db.connections.retry"
    code = f"import sys, {ours}; print('sqlalchemy.ext.asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

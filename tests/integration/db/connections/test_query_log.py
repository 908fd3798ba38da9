"""The query log, which has no private texts."""

import asyncio
import logging

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from rag_assets.db.connections.engines import make_async_engine, make_engine
from rag_assets.db.connections.options import EngineOptions

SECRET = "hunter2-the-token"


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "rag_assets.db.queries"]


def test_every_statement_is_logged_with_its_time_and_without_texts(
    database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = make_engine(database, options=EngineOptions(log_queries=True))
    with engine.connect() as connection:
        connection.execute(
            text("SELECT :token, CAST(:raw AS bytea),\n   CAST(:number AS int), CAST(:many AS text[])"),
            {"token": SECRET, "raw": SECRET.encode(), "number": 42, "many": [SECRET]},
        )
        connection.execute(text("SELECT :n"), [{"n": 1}, {"n": 2}])
    engine.dispose()
    [(level, first), (_, second)] = logged(caplog)
    assert level == "INFO"
    assert "ms (rag_assets): SELECT %(token)s, CAST(%(raw)s AS bytea), CAST(%(number)s AS int)" in first
    assert first.endswith("{token=<str[17]>, raw=<bytes[17]>, number=42, many=<list[1]>}")
    assert second.endswith("2 rows")
    assert SECRET not in caplog.text


def test_only_slow_statements_are_logged_where_a_threshold_is_set(
    database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> None:
        engine = make_async_engine(database, options=EngineOptions(slow_query_ms=10_000))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        await engine.dispose()
        engine = make_async_engine(database, options=EngineOptions(slow_query_ms=100))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(:s), CAST(:token AS text)"), {"s": 0.15, "token": SECRET})
        await engine.dispose()

    asyncio.run(use())
    [(level, said)] = logged(caplog)
    assert level == "WARNING"
    assert said.startswith("slow: 1")
    assert said.endswith("{s=0.15, token=<str[17]>}")


def test_nothing_is_logged_by_default(database: URL, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    engine = make_engine(database)
    with engine.connect() as connection:
        connection.execute(text("SELECT :token"), {"token": SECRET})
    engine.dispose()
    assert logged(caplog) == []
    assert SECRET not in caplog.text


def test_errors_do_not_show_values(database: URL) -> None:
    engine = make_engine(database)
    with engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text("SELECT length(:token) / 0"), {"token": SECRET})
    engine.dispose()
    assert SECRET not in str(raised.value)

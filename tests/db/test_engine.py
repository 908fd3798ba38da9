"""Engines: what they are made of, and that asynchronous ones live and end with their loop."""

import asyncio

from sqlalchemy import URL, text

from rag_assets.db.engine import dispose_async_engines, make_async_engine, shared_async_engine
from rag_assets.settings import Settings


def test_an_async_engine_works_and_ends_in_one_loop_after_another(database: URL) -> None:
    async def name() -> str:
        engine = make_async_engine(database, application_name="a test")
        async with engine.connect() as connection:
            found = await connection.scalar(text("SELECT current_setting('application_name')"))
        await engine.dispose()
        return str(found)

    assert [asyncio.run(name()) for _ in range(2)] == ["a test", "a test"]


def test_the_async_engine_of_a_loop_is_shared_in_it_and_not_beyond(settings: Settings) -> None:
    async def use() -> int:
        first, second = await shared_async_engine(settings), await shared_async_engine(settings)
        assert first is second
        async with first.connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM rag.projects")) == 0
        await dispose_async_engines()
        return id(first.pool)

    asyncio.run(use())
    asyncio.run(use())

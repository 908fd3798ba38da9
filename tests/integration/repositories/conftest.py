"""Repositories on the database of each test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.db.models import User
from rag_assets.repositories import SyncConversations, SyncMemories, SyncUsers

R = TypeVar("R")

# Runs an async function with an engine in a new event loop, and disposes the engine afterwards.
InLoop = Callable[[Callable[[AsyncEngine], Awaitable[R]]], R]


@pytest.fixture
def users(engine: Engine) -> SyncUsers:
    return SyncUsers(engine)


@pytest.fixture
def conversations(engine: Engine) -> SyncConversations:
    return SyncConversations(engine)


@pytest.fixture
def memories(engine: Engine) -> SyncMemories:
    return SyncMemories(engine)


@pytest.fixture
def ada(users: SyncUsers) -> User:
    return users.create("ada@example.org", display_name="Ada")


@pytest.fixture
def in_loop(database: URL) -> InLoop[R]:
    def run(work: Callable[[AsyncEngine], Awaitable[R]]) -> R:
        async def main() -> R:
            engine = make_async_engine(database)
            try:
                return await work(engine)
            finally:
                await engine.dispose()

        return asyncio.run(main())

    return run

"""Cancelled calls and broken connections: acknowledged messages are stored exactly once, and no others."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from rag_assets.db.models import ConversationMessage
from rag_assets.errors import ServiceError
from rag_assets.repositories import Conversations, NewMessage, SyncConversations
from tests.integration.repositories.conftest import InLoop

Outcome = ConversationMessage | BaseException
CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def check_stored(conversations: SyncConversations, talk: UUID, outcomes: Sequence[Outcome]) -> set[str]:
    """Check that versions have no gap and acknowledged messages are stored unchanged; returns the stored contents."""
    history = conversations.history(talk)
    assert [message.version for message in history] == list(range(1, len(history) + 1))
    stored = {message.content: message.version for message in history}
    assert len(stored) == len(history)
    acknowledged = {m.content: m.version for m in outcomes if isinstance(m, ConversationMessage)}
    assert acknowledged.items() <= stored.items()
    found = conversations.get(talk)
    assert (found.latest_version, found.message_count) == (len(history), len(history))
    return set(stored)


def test_cancelled_calls_leave_no_gap(conversations: SyncConversations, in_loop: InLoop[Sequence[Outcome]]) -> None:
    talk = conversations.create("talk").id

    async def work(engine: AsyncEngine) -> Sequence[Outcome]:
        repository = Conversations(engine)
        tasks = [asyncio.ensure_future(repository.append(talk, NewMessage("user", str(n)))) for n in range(60)]
        # Each call is cancelled at another point: waiting for a connection, for the lock, for the server.
        while not all(task.done() for task in tasks[:3]):
            await asyncio.sleep(0)
        for task in tasks[3::3]:
            task.cancel()
            for _ in range(3):
                await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = in_loop(work)
    assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert not [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, asyncio.CancelledError)]
    check_stored(conversations, talk, outcomes)


def test_broken_connections_neither_lose_nor_repeat_a_message(
    engine: Engine, conversations: SyncConversations, in_loop: InLoop[Sequence[Outcome]]
) -> None:
    talk = conversations.create("talk").id

    async def work(async_engine: AsyncEngine) -> Sequence[Outcome]:
        repository = Conversations(async_engine)
        tasks = [asyncio.ensure_future(repository.append(talk, NewMessage("user", str(n)))) for n in range(60)]
        for done in (5, 20):
            while sum(task.done() for task in tasks) < done:
                await asyncio.sleep(0.001)
            async with async_engine.begin() as connection:
                await connection.execute(CUT)
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = in_loop(work)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    # Only a break between COMMIT and its answer leaves the outcome unknown, and then the error says so.
    assert all(isinstance(error, ServiceError) and "is not known" in str(error) for error in failed), failed
    assert len(failed) < 20
    stored = check_stored(conversations, talk, outcomes)
    assert len(stored) >= 60 - len(failed)

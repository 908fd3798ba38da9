"""The async retriever: same answers as the sync one, many searches over few connections, and cancellation."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.db.connections.options import EngineOptions
from rag_assets.db.connections.pool import pool_statistics
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.execution import coverage
from rag_assets.search.filters.document_filters import Filters
from rag_assets.search.retriever import Retriever
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows

QUESTION = "whale in the winter storm"
MODES = ("vector", "text", "hybrid")


@pytest.fixture(autouse=True)
def nothing_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests count connections, and background checks would use some."""
    monkeypatch.setattr(coverage, "CHECK_INTERVAL_S", 1e6)


class Backwards:
    """A reranker that reverses the order."""

    def score(self, query: str, texts: Any) -> list[float]:
        return list(range(len(texts)))


class Blocked(HashEncoder):
    """A model that runs until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()
        self.released = threading.Event()

    def encode_query(self, text: str) -> Any:
        self.started.set()
        assert self.released.wait(timeout=60)
        return super().encode_query(text)


@asynccontextmanager
async def asynchronous(
    engine: Engine, encoder: HashEncoder | None = None, **options: Any
) -> AsyncIterator[tuple[AsyncRetriever, Any]]:
    used = make_async_engine(engine.url, options=EngineOptions(**options))
    model = encoder or HashEncoder()
    try:
        yield AsyncRetriever(used, encoder=lambda space: model, reranker=Backwards()), used
    finally:
        await used.dispose()


def running(engine: Engine) -> list[str]:
    """The statements that other connections to this database are running."""
    found = rows(
        engine,
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND state <> 'idle' AND backend_type = 'client backend' AND application_name <> 'locker'",
    )
    return [query for (query,) in found]


async def until(condition: Callable[[], Any]) -> None:
    while not await asyncio.to_thread(condition):
        await asyncio.sleep(0.01)


def test_each_method_gives_the_answer_of_the_sync_retriever(built: Engine) -> None:
    sync = Retriever(built, encoder=lambda space: HashEncoder(), reranker=Backwards())
    [hit, *_] = sync.search(QUESTION, mode="vector").hits
    vector = HashEncoder().encode_query("coral reef")
    calls: list[Callable[[Any], Any]] = [
        lambda r: r.search(QUESTION),
        lambda r: r.search(vector, k=50),
        *(lambda r, mode=mode: r.search(QUESTION, mode=mode, k=15, project="sea", context=1) for mode in MODES),
        *(lambda r, mode=mode: r.search(QUESTION, mode=mode, mmr=0.4, timeout_s=60) for mode in MODES),
        lambda r: r.search(QUESTION, rerank=5),
        lambda r: r.search(
            QUESTION, mode="vector", exact=True, distance="l1", path_glob="page*", metadata={"$not": {"a": 1}}
        ),
        lambda r: r.similar(hit.chunk_id, k=3, equal_texts=True),
        lambda r: r.similar(document=(hit.project, hit.file_path), k=3, context=1),
        lambda r: r.centroid(project="zoo"),
        lambda r: r.centroid(document=(hit.project, hit.file_path)),
        lambda r: r.aggregate(to=QUESTION, nearest=3, buckets=5, file_type="markdown"),
        lambda r: r.search(QUESTION, filters=Filters(projects="sea", path_glob="page*")),
        lambda r: r.similar(hit.chunk_id, filters=Filters(projects="zoo")),
        lambda r: r.centroid(filters=Filters(projects="zoo")),
        lambda r: r.aggregate(filters=Filters(file_types="markdown"), nearest=3),
        lambda r: r.explain_hit(hit.chunk_id),
    ]

    async def ask() -> tuple[list[Any], list[Any]]:
        async with asynchronous(built) as (retriever, _):
            found = [await call(retriever) for call in calls]
            return found, await retriever.search_many([QUESTION, vector, "coral reef"], k=4, mode=None)

    found, many = asyncio.run(ask())
    for call, answer in zip(calls, found, strict=True):
        expected = call(sync)
        assert getattr(answer, "hits", answer) == getattr(expected, "hits", expected)
        assert answer is not None
    assert [one.hits for one in many] == [one.hits for one in sync.search_many([QUESTION, vector, "coral reef"], k=4)]


def test_errors_are_those_of_the_sync_retriever(built: Engine) -> None:
    calls: list[tuple[Callable[[Any], Awaitable[Any]], str]] = [
        (lambda r: r.search(" "), "the query is empty"),
        (lambda r: r.search(QUESTION, k=0), "k is 0"),
        (lambda r: r.search([1.0]), "has 1 dimensions"),
        (lambda r: r.search(QUESTION, project="nobody"), "no project 'nobody'"),
        (lambda r: r.search(QUESTION, metadata={"$where": 1}), "cannot have the name"),
        (lambda r: r.search_many([QUESTION, 5]), "not 5"),
        (lambda r: r.similar(uuid4()), "there is no chunk"),
        (lambda r: r.aggregate(buckets=0), "buckets is 0"),
        (lambda r: r.explain_hit("x"), "is not the id"),
    ]

    async def ask() -> None:
        async with asynchronous(built) as (retriever, used):
            for call, message in calls:
                with pytest.raises(UsageError, match=message):
                    await call(retriever)
            assert pool_statistics(used).in_use == 0

    asyncio.run(ask())


def test_many_searches_share_few_connections(built: Engine) -> None:
    async def ask() -> None:
        async with asynchronous(built, pool_size=5) as (retriever, used):
            searches = [retriever.search(f"whale {number % 20}", mode=MODES[number % 3], k=3) for number in range(60)]
            answers = await asyncio.gather(*searches)
            assert all(len(answer.hits) == 3 for answer in answers)
            alone = [
                await retriever.search(f"whale {number % 20}", mode=MODES[number % 3], k=3) for number in range(60)
            ]
            assert [answer.hits for answer in answers] == [answer.hits for answer in alone]
            statistics = pool_statistics(used)
            assert (statistics.in_use, statistics.waiting) == (0, 0)
            assert statistics.opened <= 5

    asyncio.run(ask())


def test_the_event_loop_serves_other_searches_while_the_model_runs(built: Engine) -> None:
    async def ask() -> None:
        model = Blocked()
        async with asynchronous(built, model, pool_size=1) as (retriever, used):
            embedding = asyncio.create_task(retriever.search("never asked before", mode="vector"))
            await until(model.started.is_set)
            # Other searches use the only connection meanwhile: a running model holds none.
            assert pool_statistics(used).in_use == 0
            assert (await retriever.search(QUESTION, mode="text")).hits
            assert not embedding.done()
            model.released.set()
            assert (await embedding).hits

    asyncio.run(ask())


@pytest.mark.parametrize("mode", MODES)
def test_a_cancelled_search_is_cancelled_on_the_server(built: Engine, mode: Any) -> None:
    async def ask() -> None:
        async with asynchronous(built, pool_size=2) as (retriever, used):
            expected = (await retriever.search(QUESTION, mode=mode)).hits
            locker = await asyncio.to_thread(built.connect)
            await asyncio.to_thread(locker.execute, text("SET application_name = 'locker'"))
            await asyncio.to_thread(locker.execute, text("LOCK TABLE rag.document_chunks"))
            tasks = [asyncio.create_task(retriever.search(QUESTION, mode=mode)) for _ in range(4)]
            # Two wait in the server for the table lock, two in the pool for a connection.
            await until(lambda: len(running(built)) == 2 and pool_statistics(used).waiting == 2)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] * 4
            # The table is still locked, so the statements have ended because they were cancelled.
            await until(lambda: running(built) == [])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await retriever.search(QUESTION, mode=mode)
            await until(lambda: running(built) == [])
            await asyncio.to_thread(locker.rollback)
            await asyncio.to_thread(locker.close)
            statistics = pool_statistics(used)
            assert (statistics.in_use, statistics.waiting) == (0, 0)
            answers = await asyncio.gather(*(retriever.search(QUESTION, mode=mode) for _ in range(6)))
            assert [answer.hits for answer in answers] == [expected] * 6

    asyncio.run(ask())


def test_a_search_cancelled_while_the_model_runs_ends_at_once(built: Engine) -> None:
    async def ask() -> None:
        model = Blocked()
        async with asynchronous(built, model, pool_size=1) as (retriever, used):
            task = asyncio.create_task(retriever.search("never asked before", mode="hybrid"))
            await until(model.started.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool_statistics(used).in_use == 0
            model.released.set()
            assert (await retriever.search("never asked before", mode="hybrid")).hits

    asyncio.run(ask())


def test_timeouts_and_broken_connections_are_handled_as_in_the_sync_retriever(built: Engine, admin: Engine) -> None:
    kill = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
    )

    async def ask() -> None:
        async with asynchronous(built, pre_ping=False, pool_size=3) as (retriever, used):
            expected = (await retriever.search(QUESTION, mode="hybrid")).hits
            with built.begin() as connection:
                connection.execute(text("LOCK TABLE rag.document_chunks"))
                for mode in MODES:
                    with pytest.raises(ServiceError, match=r"longer than 0\.2 s"):
                        await retriever.search(QUESTION, mode=mode, timeout_s=0.2)  # type: ignore[arg-type]
            await asyncio.gather(*(retriever.search(QUESTION) for _ in range(3)))
            rows(admin, kill, name=built.url.database)
            answers = await asyncio.gather(*(retriever.search(QUESTION, mode="hybrid") for _ in range(6)))
            assert [answer.hits for answer in answers] == [expected] * 6
            assert pool_statistics(used).in_use == 0

    asyncio.run(ask())

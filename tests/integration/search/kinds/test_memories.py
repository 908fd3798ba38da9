"""Search over memories: finds what `recall` finds, and records nothing."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.errors import UsageError
from rag_assets.repositories import RecallWeights, SyncMemories
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.data.memories import ENCODER, create_memories
from tests.support.pipeline.runs import rows

MEANING = RecallWeights(importance=0, recency=0)


@pytest.fixture
def remembered(engine: Engine, settings: Settings) -> dict[str, Any]:
    return create_memories(engine, settings)


def test_hits_are_those_of_recall_and_no_recall_is_recorded(engine: Engine, remembered: dict[str, Any]) -> None:
    ada = remembered["ada"]
    retriever = Retriever(engine, encoder=lambda _: ENCODER)
    answer = retriever.search_memories("green tea", user_id=ada, k=3)
    assert rows(engine, "SELECT DISTINCT recall_count, last_recalled_at FROM rag.memories") == [(0, None)]
    vector = ENCODER.encode_query("green tea").tolist()
    recalled = SyncMemories(engine).recall(vector, user_id=ada, k=3)
    assert [hit.memory_id for hit in answer.hits] == [one.memory.id for one in recalled]
    for hit, one in zip(answer.hits, recalled, strict=True):
        assert hit.score == pytest.approx(one.score, abs=1e-3)
        assert (hit.text, hit.importance) == (one.memory.content, one.importance)
        assert hit.relevance == pytest.approx(one.relevance, abs=1e-5)
    assert all(hit.user_id in (ada, None) for hit in answer.hits)


def test_forgotten_and_expired_memories_are_not_found_from_that_moment(
    engine: Engine, remembered: dict[str, Any]
) -> None:
    retriever = Retriever(engine, encoder=lambda _: ENCODER)

    def found(**options: Any) -> set[str]:
        return {hit.text for hit in retriever.search_memories("tea", weights=MEANING, **options).hits}

    mine = {"likes green tea", "keeps a whale", "forgotten tea", "expired tea", "tea is served at four"}
    assert found(user_id=remembered["ada"], k=100) == mine
    [(forgotten,)] = rows(engine, "SELECT id FROM rag.memories WHERE content = 'forgotten tea'")
    SyncMemories(engine).forget(forgotten)
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.memories SET expires_at = now() WHERE content = 'expired tea'"))
    assert found(user_id=remembered["ada"], k=100) == mine - {"forgotten tea", "expired tea"}
    assert found() == {"tea is served at four"}
    assert "keeps a whale" not in found(user_id=str(remembered["ada"]), min_score=0.2)


def test_wrong_options_are_refused_and_the_async_retriever_answers_the_same(
    engine: Engine, remembered: dict[str, Any]
) -> None:
    retriever = Retriever(engine, encoder=lambda _: ENCODER)
    for options, said in (
        ({"user_id": "ada"}, "user_id is 'ada'"),
        ({"k": 1001}, "k is 1001"),
        ({"mode": 1}, "mode"),
        ({"weights": (1, 0, 0)}, "weights is \\(1, 0, 0\\); give a mapping of numbers"),
        ({"weights": None}, "weights is None"),
    ):
        with pytest.raises(UsageError, match=said):
            retriever.search_memories("tea", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="3 dimensions"):
        retriever.search_memories([1.0, 0.0, 0.0])

    async def work() -> list[Any]:
        async_engine = make_async_engine(engine.url)
        try:
            asked = AsyncRetriever(async_engine, encoder=lambda _: ENCODER)
            return (await asked.search_memories("tea", user_id=remembered["ben"], weights=MEANING)).hits
        finally:
            await async_engine.dispose()

    expected = retriever.search_memories("tea", user_id=remembered["ben"], weights=MEANING).hits
    assert [hit.memory_id for hit in asyncio.run(work())] == [hit.memory_id for hit in expected]
    assert {hit.text for hit in expected} == {"ben likes tea", "tea is served at four"}

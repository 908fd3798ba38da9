"""One query to chunks, messages and memories: each kind by its own search, with hits that take turns."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.db.spaces.text_kinds import BUILT_IN_KINDS
from rag_assets.errors import ServiceError, UsageError
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.kinds.dispatch import AnyHit, MixedAnswer
from rag_assets.search.kinds.memories import MemoryHit
from rag_assets.search.kinds.messages import MessageHit
from rag_assets.search.results import Hit
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.data.memories import create_memories
from tests.support.data.messages import MessageCorpus, create_message_corpus
from tests.support.data.vectors import make_corpus
from tests.support.fakes import HashEncoder

QUESTION = "whale in the coral reef"


def encoder(space: Any) -> HashEncoder:
    return HashEncoder(space.dimensions)


@pytest.fixture
def spoken(engine: Engine, settings: Settings) -> MessageCorpus:
    """All three kinds, live."""
    make_corpus(engine)
    create_memories(engine, settings)
    made = create_message_corpus(engine, settings)
    made.refresh()
    return made


@pytest.fixture
def retriever(spoken: MessageCorpus) -> Retriever:
    return Retriever(spoken.engine, encoder=encoder)


def ids(hits: Any) -> list[Any]:
    # Ranks differ, and the recency of memories depends on the clock.
    return [hit.chunk_id if isinstance(hit, Hit) else getattr(hit, "message_id", None) or hit.memory_id for hit in hits]


def test_one_kind_is_its_own_search(spoken: MessageCorpus, retriever: Retriever) -> None:
    ada = spoken.users["ada"]
    assert retriever.search(QUESTION, kinds="messages", user_id=ada, k=4).hits == (
        retriever.search_messages(QUESTION, user_id=ada, k=4).hits
    )
    memories = retriever.search(QUESTION, kinds="memories", k=4).hits
    assert ids(memories) == ids(retriever.search_memories(QUESTION, k=4).hits)
    for chunks in (retriever.search(QUESTION, kinds="chunks", k=4), retriever.search(QUESTION, kinds=["chunks"], k=4)):
        assert chunks.hits == retriever.search(QUESTION, k=4).hits


@pytest.mark.parametrize("kinds", [BUILT_IN_KINDS, ("memories", "chunks"), ["messages", "memories", "messages"]])
def test_hits_of_several_kinds_take_turns(retriever: Retriever, kinds: Any) -> None:
    answer = retriever.search(QUESTION, kinds=kinds, k=7)
    assert isinstance(answer, MixedAnswer)
    assert list(answer.answers) == list(dict.fromkeys(kinds))
    assert [hit.rank for hit in answer.hits] == list(range(1, 8))
    types = {"chunks": Hit, "messages": MessageHit, "memories": MemoryHit}
    for place, (kind, own) in enumerate(answer.answers.items()):
        alone: Any = retriever.search(QUESTION, kinds=kind, k=7)
        assert ids(own.hits) == ids(alone.hits)
        mine: list[AnyHit] = [hit for hit in answer.hits if isinstance(hit, types[kind])]
        assert ids(mine) == ids(alone.hits)[: len(mine)]
        assert mine[0].rank == place + 1
    assert answer.took_ms == pytest.approx(sum(own.took_ms for own in answer.answers.values()), abs=0.01)


def test_an_option_is_passed_to_the_kinds_that_have_it(spoken: MessageCorpus, retriever: Retriever) -> None:
    ada = spoken.users["ada"]
    answer = retriever.search(QUESTION, kinds=BUILT_IN_KINDS, k=100, user_id=ada, path_glob="d00*", roles="user")
    assert isinstance(answer, MixedAnswer)
    of = {kind: found.hits for kind, found in answer.answers.items()}
    assert {hit.file_path for hit in of["chunks"] if isinstance(hit, Hit)} == {"d00.md"}
    assert {(hit.user_id, hit.role) for hit in of["messages"] if isinstance(hit, MessageHit)} == {(ada, "user")}
    assert {hit.user_id for hit in of["memories"]} == {None}
    # All that pass, since there are fewer than k.
    assert len(answer.hits) == sum(map(len, of.values()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kinds": "people"}, "kinds is 'people'; choose one or several of chunks, messages, memories"),
        ({"kinds": ["chunks", "people"]}, "kinds is "),
        ({"kinds": []}, "kinds is an empty list"),
        ({"kinds": None}, "kinds is None"),
        ({"kinds": 3}, "kinds is 3"),
        ({"kinds": [1]}, "kinds has 1"),
        ({"kinds": BUILT_IN_KINDS, "top_k": 3}, "a search of chunks and messages and memories has no option top_k"),
        ({"kinds": ["chunks", "memories"], "roles": "user"}, "a search of chunks and memories has no option roles"),
        ({"kinds": ["chunks", "memories"], "k": 0}, "k is 0"),
        ({"kinds": "messages", "mode": "text"}, "a search of messages has no option mode"),
    ],
)
def test_wrong_options_are_usage_errors(engine: Engine, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Retriever(engine).search(QUESTION, **options)


def test_the_error_for_a_kind_without_a_live_space_names_the_command(engine: Engine) -> None:
    make_corpus(engine)
    with pytest.raises(ServiceError, match="run rag-assets embed messages first"):
        Retriever(engine, encoder=encoder).search(QUESTION, kinds=["chunks", "messages"])


def test_the_async_retriever_gives_the_same_answers(spoken: MessageCorpus, retriever: Retriever) -> None:
    async def work() -> list[Any]:
        engine = make_async_engine(spoken.engine.url)
        try:
            asked = AsyncRetriever(engine, spoken.settings, encoder=encoder)
            together = [asked.search(QUESTION, kinds=kinds, k=5) for kinds in (*BUILT_IN_KINDS, BUILT_IN_KINDS)]
            return [ids(answer.hits) for answer in await asyncio.gather(*together)]
        finally:
            await engine.dispose()

    expected = [ids(retriever.search(QUESTION, kinds=kinds, k=5).hits) for kinds in (*BUILT_IN_KINDS, BUILT_IN_KINDS)]
    assert asyncio.run(work()) == expected


def test_settings_are_the_defaults_of_a_retriever(engine: Engine, tmp_path: Path) -> None:
    corpus = make_corpus(engine)
    question = list(corpus.chunks[0].vector)
    settings = Settings(ef_search=77, reranker=str(tmp_path))
    assert Retriever(engine, settings).search(question).ef_search == 77
    assert Retriever(engine, settings, ef_search=55).search(question).ef_search == 55
    with pytest.raises(ServiceError, match="cannot be loaded"):
        Retriever(engine, settings, encoder=encoder).search(QUESTION, rerank=3)
    with pytest.raises(UsageError, match="no reranker is set"):
        Retriever(engine, Settings(), encoder=encoder).search(QUESTION, rerank=3)

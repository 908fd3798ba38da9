"""Vector search over messages of a user, a conversation or a project: never too few, and never deleted ones."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from rag_assets.db.connections.engines import make_async_engine
from rag_assets.errors import ServiceError, UsageError
from rag_assets.repositories import NewMessage, SyncConversations, SyncUsers
from rag_assets.search.async_retriever import AsyncRetriever
from rag_assets.search.kinds.messages import MessageAnswer
from rag_assets.search.retriever import Retriever
from rag_assets.search.vector import selectivity
from rag_assets.settings.settings import Settings
from tests.support.data.messages import DAYS, MessageCorpus, StoredMessage, create_message_corpus
from tests.support.pipeline.runs import rows

QUESTION = "whale in the coral reef"


@pytest.fixture
def spoken(engine: Engine, settings: Settings) -> MessageCorpus:
    made = create_message_corpus(engine, settings)
    made.refresh(build=True)
    return made


def ask(spoken: MessageCorpus, **options: Any) -> MessageAnswer:
    retriever = Retriever(spoken.engine, encoder=lambda _: spoken.encoder)
    return retriever.search_messages(QUESTION, **options)


def found(answer: MessageAnswer) -> list[tuple[float, str]]:
    return sorted(((hit.score, hit.text) for hit in answer.hits), key=lambda one: (-round(one[0], 5), one[1]))


def assert_best(spoken: MessageCorpus, answer: MessageAnswer, messages: list[StoredMessage], k: int) -> None:
    """The k best of these messages, by score and text, best first."""
    right = spoken.nearest(QUESTION, messages)[:k]
    assert [round(score, 4) for score, _ in found(answer)] == [round(score, 4) for score, _ in right]
    assert {hit.message_id for hit in answer.hits} <= {message.id for message in messages}
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    assert [hit.rank for hit in answer.hits] == list(range(1, len(right) + 1))


@pytest.mark.parametrize("way", ["graph", "exact", "chosen"])
def test_the_best_passing_messages_are_found_by_either_plan(
    spoken: MessageCorpus, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "graph":
        monkeypatch.setattr(selectivity, "ALWAYS_EXACT_ROWS", 0)
        monkeypatch.setattr(selectivity, "CANDIDATE_COST", 0)
    exact = way == "exact"
    ada, ben = spoken.users["ada"], spoken.users["ben"]
    noon = datetime.combine(DAYS[1], datetime.min.time(), UTC)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "true"),
        ({"user_id": ada}, f"c.user_id = '{ada}'"),
        ({"user_id": str(ben), "roles": "assistant"}, f"c.user_id = '{ben}' AND m.role = 'assistant'"),
        ({"project": "zoo"}, "c.project_id IS NOT NULL"),
        ({"roles": ["user", "assistant"], "created_from": noon}, "m.created_at >= '2026-03-03 00:00+00'"),
        ({"created_to": noon}, "m.created_at < '2026-03-03 00:00+00'"),
        ({"conversation_id": spoken.talks["ada"][0]}, f"c.id = '{spoken.talks['ada'][0]}'"),
    ]
    for options, where in cases:
        messages = spoken.messages(where)
        for k in (3, 500):
            answer = ask(spoken, k=k, exact=exact, **options)
            assert_best(spoken, answer, messages, k)
            if exact:
                assert answer.plan == "exact"
            if way == "graph" and k == 3:
                assert answer.plan == "index", options


def test_a_hit_names_its_conversation(spoken: MessageCorpus) -> None:
    talk = spoken.talks["ada"][0]
    hit = ask(spoken, k=1, conversation_id=talk).hits[0]
    [message] = [one for one in spoken.messages() if one.id == hit.message_id]
    assert (hit.conversation_id, hit.conversation, hit.project) == (talk, "talk 0", "zoo")
    assert (hit.user_id, hit.role, hit.text) == (spoken.users["ada"], message.role, message.text)
    assert (hit.created_at, hit.tool_name) == (message.at, None)
    assert rows(spoken.engine, "SELECT version FROM rag.conversation_messages WHERE id = :i", i=hit.message_id) == [
        (hit.version,)
    ]
    everything = ask(spoken, k=500)
    cut = everything.hits[9].score
    assert len(ask(spoken, k=500, min_score=cut).hits) == sum(one.score >= cut for one in everything.hits)


def test_a_deleted_message_or_conversation_is_not_found_from_that_moment(spoken: MessageCorpus) -> None:
    conversations = SyncConversations(spoken.engine)
    first = ask(spoken, k=1).hits[0]
    conversations.delete_message(first.conversation_id, first.version)
    answer = ask(spoken, k=500)
    assert first.message_id not in {hit.message_id for hit in answer.hits}
    assert len(answer.hits) == len(spoken.messages()) - 1

    talk = answer.hits[0].conversation_id
    conversations.soft_delete(talk)
    answer = ask(spoken, k=500)
    assert talk not in {hit.conversation_id for hit in answer.hits}
    assert_best(spoken, answer, spoken.messages("m.deleted_at IS NULL AND c.deleted_at IS NULL"), 500)
    with pytest.raises(UsageError, match="deleted"):
        ask(spoken, conversation_id=talk)
    conversations.restore(talk)
    assert ask(spoken, conversation_id=talk).hits


def test_a_fork_is_searched_with_its_ancestors_messages_before_it(spoken: MessageCorpus) -> None:
    conversations = SyncConversations(spoken.engine)
    talk = spoken.talks["ada"][0]
    fork = conversations.fork(talk, version=3).id
    at = datetime.combine(DAYS[2], datetime.min.time(), UTC) + timedelta(hours=20)
    conversations.append(fork, NewMessage("user", "of the fork alone: coral", created_at=at))
    spoken.refresh()
    expected = {message.id for message in conversations.history(fork)}
    assert len(expected) == 4
    assert {hit.message_id for hit in ask(spoken, k=100, conversation_id=fork).hits} == expected
    # The fork still shows the messages of its deleted parent.
    conversations.soft_delete(talk)
    answer = ask(spoken, k=100, conversation_id=fork)
    assert {hit.message_id for hit in answer.hits} == expected
    assert {hit.conversation_id for hit in answer.hits} == {fork, talk}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k is 0"),
        ({"roles": ["users"]}, "roles has 'users'; choose from user, assistant, system, tool"),
        ({"roles": []}, "roles is an empty list"),
        ({"user_id": "ada"}, "user_id is 'ada'; give a UUID"),
        ({"project": "nowhere"}, "nowhere"),
        ({"conversation_id": UUID(int=7)}, "conversation"),
        ({"created_from": datetime(2026, 3, 2)}, "created_from"),  # noqa: DTZ001
        ({"mode": "text"}, "a search of messages has no option mode"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_options_are_usage_errors(spoken: MessageCorpus, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ask(spoken, **options)


def test_the_error_before_a_space_is_live_names_what_to_run(engine: Engine, settings: Settings) -> None:
    retriever = Retriever(engine)
    with pytest.raises(ServiceError, match="run rag-assets embed messages first"):
        retriever.search_messages("whale")
    with pytest.raises(ServiceError, match="run rag-assets embed memories first"):
        retriever.search_memories("whale")
    nobody = SyncUsers(engine).create("nobody@example.org").id
    made = create_message_corpus(engine, settings, talks=1)
    made.refresh()
    assert ask(made, user_id=nobody).hits == []


def test_the_async_retriever_gives_the_same_answers(spoken: MessageCorpus) -> None:
    async def work() -> list[MessageAnswer]:
        engine = make_async_engine(spoken.engine.url)
        try:
            retriever = AsyncRetriever(engine, encoder=lambda _: spoken.encoder)
            vector = spoken.encoder.encode_query(QUESTION)
            asked = [retriever.search_messages(query, k=5) for query in (QUESTION, vector, QUESTION)]
            return list(await asyncio.gather(*asked))
        finally:
            await engine.dispose()

    answers = asyncio.run(work())
    expected = ask(spoken, k=5).hits
    assert [answer.hits for answer in answers] == [expected] * 3

"""Messages: versions without gaps, histories that include ancestors, windows within a token budget."""

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from rag_assets.errors import UsageError
from rag_assets.repositories import Conversations, NewMessage, SyncConversations
from tests.integration.repositories.conftest import InLoop
from tests.support.pipeline.runs import rows


def new_messages(*texts: str, tokens: int = 1) -> list[NewMessage]:
    return [NewMessage("user", text, tokens) for text in texts]


def texts(messages: Any) -> list[str]:
    return [message.content for message in messages]


@pytest.fixture
def talk(conversations: SyncConversations) -> UUID:
    return conversations.create("talk").id


def test_messages_get_consecutive_versions_in_order(conversations: SyncConversations, talk: UUID) -> None:
    first = conversations.append(talk, NewMessage("user", "one", 2, metadata={"lang": "en"}))
    more = conversations.append_many(talk, new_messages("two", "three"))
    assert [(m.version, m.content) for m in [first, *more]] == [(1, "one"), (2, "two"), (3, "three")]
    assert first.message_metadata == {"lang": "en"}
    found = conversations.get(talk)
    assert (found.latest_version, found.message_count, found.total_tokens) == (3, 3, 4)
    assert found.updated_at > found.created_at
    assert conversations.append_many(talk, []) == []


def test_fifty_writers_lose_no_message_and_leave_no_gap(
    conversations: SyncConversations, talk: UUID, in_loop: InLoop[None]
) -> None:
    async def write(engine: AsyncEngine) -> None:
        repository = Conversations(engine)
        each = [repository.append_many(talk, new_messages(f"{n} a", f"{n} b")) for n in range(50)]
        await asyncio.gather(*each, *(repository.append(talk, new_messages(f"{n} c")[0]) for n in range(50)))

    in_loop(write)
    history = conversations.history(talk)
    assert [message.version for message in history] == list(range(1, 151))
    assert sorted(texts(history)) == sorted(f"{n} {letter}" for n in range(50) for letter in "abc")
    at = {message.content: message.version for message in history}
    assert all(at[f"{n} b"] == at[f"{n} a"] + 1 for n in range(50))
    found = conversations.get(talk)
    assert (found.latest_version, found.message_count, found.total_tokens) == (150, 150, 150)


def test_a_failed_append_uses_no_versions(engine: Engine, conversations: SyncConversations, talk: UUID) -> None:
    wrong = [*new_messages("fine"), NewMessage("robot", "beep")]  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=re.escape("role is 'robot'; choose one of user, assistant, system, tool.")):
        conversations.append_many(talk, wrong)
    too_long = NewMessage("tool", "x", tool_call_id="c" * 201)
    with pytest.raises(UsageError, match=r"conversation_messages.tool_call_id is .* 201 characters, at most 200 fit"):
        conversations.append_many(talk, [*new_messages("fine"), too_long])
    assert rows(engine, "SELECT latest_version, message_count FROM rag.conversations") == [(0, 0)]
    assert conversations.append(talk, new_messages("first")[0]).version == 1


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (NewMessage("tool", "42"), "tool_call_id is missing"),
        (NewMessage("user", "x", -1), "token_count is -1"),
        (NewMessage("user", "x", 2**31), "conversation_messages.token_count is 2147483648"),
        (NewMessage("user", None), "conversation_messages.content is None; give a value"),  # type: ignore[arg-type]
        (NewMessage("user", "x", model="m" * 201), "conversation_messages.model is .*; it has 201 characters"),
        (NewMessage("user", "x", metadata={"a": float("nan")}), "conversation_messages.metadata is nan"),
        (NewMessage("user", "x", metadata={"a": object()}), "conversation_messages.metadata is <object"),
    ],
)
def test_an_invalid_message_is_an_error_that_names_field_and_value(
    engine: Engine, conversations: SyncConversations, talk: UUID, message: NewMessage, error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        conversations.append(talk, message)
    assert rows(engine, "SELECT count(*) FROM rag.conversation_messages") == [(0,)]


def test_texts_are_cleaned_like_those_of_documents(conversations: SyncConversations, talk: UUID) -> None:
    message = conversations.append(talk, NewMessage("user", "a\x00b\r\nc\ud800", metadata={"k\x00": ["v\x00"]}))
    assert message.content == "ab\nc"
    assert message.message_metadata == {"k": ["v"]}
    assert conversations.history(talk)[0].content_hash == message.content_hash


def test_a_missing_token_count_is_estimated(conversations: SyncConversations, talk: UUID) -> None:
    counted = [conversations.append(talk, NewMessage("user", text)).token_count for text in ("", "a", "abcde", "ä" * 4)]
    assert counted == [0, 1, 2, 2]


@pytest.mark.parametrize("conversation", ["nonsense", 7, None])
def test_an_invalid_id_is_refused(conversations: SyncConversations, conversation: Any) -> None:
    with pytest.raises(UsageError, match=r"conversations.id is .*; give a UUID"):
        conversations.append(conversation, NewMessage("user", "x"))


def test_nothing_is_appended_to_a_conversation_that_is_deleted_or_unknown(
    engine: Engine, conversations: SyncConversations, talk: UUID
) -> None:
    conversations.soft_delete(talk)
    with pytest.raises(UsageError, match=f"the row {talk} of conversations is deleted; restore it first"):
        conversations.append_many(talk, new_messages("x"))
    with pytest.raises(UsageError, match="conversations has no row with the id"):
        conversations.append_many(uuid4(), new_messages("x"))
    assert rows(engine, "SELECT count(*) FROM rag.conversation_messages") == [(0,)]


def test_a_history_ends_at_a_version_and_a_limit_keeps_the_newest(conversations: SyncConversations, talk: UUID) -> None:
    conversations.append_many(talk, new_messages("1", "2", "3", "4"))
    assert texts(conversations.history(talk)) == ["1", "2", "3", "4"]
    assert texts(conversations.history(talk, up_to=2)) == ["1", "2"]
    assert texts(conversations.history(talk, limit=2)) == ["3", "4"]
    assert texts(conversations.history(talk, up_to=3, limit=1)) == ["3"]
    assert texts(conversations.history(talk, up_to=99)) == ["1", "2", "3", "4"]
    for wrong in ({"up_to": 0}, {"limit": -1}):
        with pytest.raises(UsageError, match="count from 1"):
            conversations.history(talk, **wrong)
    conversations.soft_delete(talk)
    with pytest.raises(UsageError, match="is deleted"):
        conversations.history(talk)


class TestWindow:
    @pytest.fixture
    def talk(self, conversations: SyncConversations, talk: UUID) -> UUID:
        conversations.append_many(
            talk,
            [
                NewMessage("system", "be kind", 10),
                NewMessage("user", "q1", 5),
                NewMessage("assistant", "call", 5),
                NewMessage("tool", "answer", 5, tool_call_id="c1"),
                NewMessage("assistant", "a1", 5),
                NewMessage("user", "q2", 5),
            ],
        )
        return talk

    @pytest.mark.parametrize(
        ("budget", "expected"),
        [
            (10, ["be kind"]),
            (14, ["be kind"]),
            (15, ["be kind", "q2"]),
            (24, ["be kind", "a1", "q2"]),
            # The tool's result would fit, but not its call.
            (25, ["be kind", "a1", "q2"]),
            (30, ["be kind", "call", "answer", "a1", "q2"]),
            (35, ["be kind", "q1", "call", "answer", "a1", "q2"]),
            (10**9, ["be kind", "q1", "call", "answer", "a1", "q2"]),
        ],
    )
    def test_a_window_has_the_system_message_and_the_newest_that_fit(
        self, conversations: SyncConversations, talk: UUID, budget: int, expected: list[str]
    ) -> None:
        assert texts(conversations.window(talk, budget_tokens=budget)) == expected

    def test_a_message_that_is_too_long_ends_the_window_even_if_older_ones_fit(
        self, conversations: SyncConversations, talk: UUID
    ) -> None:
        conversations.append_many(talk, [NewMessage("assistant", "long", 100), NewMessage("user", "q3", 5)])
        assert texts(conversations.window(talk, budget_tokens=60)) == ["be kind", "q3"]

    def test_a_window_can_end_at_an_earlier_version(self, conversations: SyncConversations, talk: UUID) -> None:
        assert texts(conversations.window(talk, budget_tokens=15, up_to=2)) == ["be kind", "q1"]

    def test_a_budget_below_the_system_message_is_an_error(self, conversations: SyncConversations, talk: UUID) -> None:
        with pytest.raises(
            UsageError, match=f"budget_tokens is 9, but the system message of conversation {talk} .* 10"
        ):
            conversations.window(talk, budget_tokens=9)

    def test_without_a_system_message_an_empty_budget_is_an_empty_window(
        self, conversations: SyncConversations
    ) -> None:
        other = conversations.create("other").id
        conversations.append_many(other, new_messages("x"))
        assert conversations.window(other, budget_tokens=0) == []

    def test_a_window_reads_through_a_fork(self, conversations: SyncConversations, talk: UUID) -> None:
        fork = conversations.fork(talk, version=5).id
        conversations.append_many(fork, new_messages("elsewhere", tokens=5))
        assert texts(conversations.window(fork, budget_tokens=20)) == ["be kind", "a1", "elsewhere"]


def test_a_deleted_message_is_gone_from_histories_windows_and_counts(
    conversations: SyncConversations, talk: UUID
) -> None:
    conversations.append_many(talk, new_messages("1", "2", "3", tokens=5))
    fork, early = conversations.fork(talk).id, conversations.fork(talk, version=1).id
    assert conversations.delete_message(talk, 2).deleted_at is not None
    for reader in (talk, fork):
        assert texts(conversations.history(reader)) == ["1", "3"]
        assert texts(conversations.window(reader, budget_tokens=10)) == ["1", "3"]
        found = conversations.get(reader)
        assert (found.message_count, found.total_tokens, found.latest_version) == (2, 10, 3)
    assert conversations.get(early).message_count == 1
    assert conversations.append(talk, new_messages("4")[0]).version == 4
    for wrong in (2, 99):
        with pytest.raises(UsageError, match=f"version {wrong} is no message of conversation"):
            conversations.delete_message(talk, wrong)
    with pytest.raises(
        UsageError, match="delete a message from before a fork in the conversation that it was appended to"
    ):
        conversations.delete_message(fork, 1)
    assert conversations.get(fork).message_count == 2

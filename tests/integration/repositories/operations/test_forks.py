"""Forks share messages without copying them, and a purge keeps the messages that a fork shares."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from rag_assets.db.models import User
from rag_assets.db.writes.rows import EmbeddingRow
from rag_assets.db.writes.upserts import write_embeddings
from rag_assets.documents.text import content_hash
from rag_assets.errors import UsageError
from rag_assets.repositories import Conversations, PurgeCounts, SyncConversations, SyncUsers
from tests.integration.repositories.conftest import InLoop
from tests.integration.repositories.operations.test_messages import new_messages, texts
from tests.support.database.rows import create_space, definition, unit_vectors
from tests.support.pipeline.runs import rows

MESSAGES = "SELECT count(*) FROM rag.conversation_messages"


@pytest.fixture
def root(conversations: SyncConversations, ada: User) -> UUID:
    made = conversations.create("root", user_id=ada.id)
    conversations.append_many(made.id, new_messages("r1", "r2", "r3", "r4"))
    return made.id


def embed(engine: Engine, *contents: str) -> None:
    space = create_space(engine, definition("m1", kind="messages"))
    vectors = unit_vectors(len(contents), 8)
    with engine.begin() as connection:
        write_embeddings(
            connection,
            space.id,
            [EmbeddingRow(content_hash(c), v) for c, v in zip(contents, vectors, strict=True)],
        )


def test_a_fork_shares_earlier_messages_and_continues_on_its_own(
    engine: Engine, conversations: SyncConversations, root: UUID, ada: User
) -> None:
    fork = conversations.fork(root, version=2)
    assert rows(engine, MESSAGES) == [(4,)]
    assert (fork.parent_id, fork.fork_version, fork.user_id, fork.name) == (root, 2, ada.id, "root")
    assert (fork.latest_version, fork.message_count, fork.total_tokens) == (2, 2, 2)
    assert conversations.append_many(fork.id, new_messages("f3"))[0].version == 3
    conversations.append_many(root, new_messages("r5"))
    assert texts(conversations.history(fork.id)) == ["r1", "r2", "f3"]
    assert texts(conversations.history(root)) == ["r1", "r2", "r3", "r4", "r5"]
    assert texts(conversations.history(fork.id, up_to=1)) == ["r1"]


def test_a_fork_of_a_fork_of_a_fork_reads_through_all_of_them(conversations: SyncConversations, root: UUID) -> None:
    first = conversations.fork(root, version=3).id
    conversations.append_many(first, new_messages("a4", "a5"))
    second = conversations.fork(first, version=4).id
    conversations.append_many(second, new_messages("b5", "b6"))
    third = conversations.fork(second).id
    conversations.append_many(third, new_messages("c7"))
    assert texts(conversations.history(third)) == ["r1", "r2", "r3", "a4", "b5", "b6", "c7"]
    assert texts(conversations.history(third, up_to=5)) == ["r1", "r2", "r3", "a4", "b5"]
    # Forked at a version before its parent's own fork: it still shows the root's messages.
    early = conversations.fork(third, version=2).id
    conversations.append_many(early, new_messages("e3"))
    assert texts(conversations.history(early)) == ["r1", "r2", "e3"]
    assert conversations.get(third).message_count == 7


def test_a_fork_can_have_another_name_and_user(conversations: SyncConversations, users: SyncUsers, root: UUID) -> None:
    bob = users.create("bob@example.org")
    fork = conversations.fork(root, name="mine", user_id=bob.id)
    assert (fork.name, fork.user_id, fork.fork_version) == ("mine", bob.id, 4)


@pytest.mark.parametrize("version", [0, -1, 5])
def test_an_unknown_version_cannot_be_forked(
    engine: Engine, conversations: SyncConversations, root: UUID, version: int
) -> None:
    with pytest.raises(UsageError, match=f"version is {version}; conversation {root} can be forked at 1 to 4"):
        conversations.fork(root, version=version)
    assert rows(engine, "SELECT count(*) FROM rag.conversations") == [(1,)]


def test_an_empty_conversation_cannot_be_forked(conversations: SyncConversations) -> None:
    empty = conversations.create("empty").id
    with pytest.raises(UsageError, match="has no message yet to fork it at"):
        conversations.fork(empty)


def test_forks_are_listed_without_the_deleted_ones(conversations: SyncConversations, root: UUID) -> None:
    forks = [conversations.fork(root, name=str(n)).id for n in range(3)]
    conversations.fork(forks[0])
    conversations.soft_delete(forks[1])
    assert [fork.name for fork in conversations.list_forks(root)] == ["0", "2"]


def test_a_fork_of_a_deleted_conversation_keeps_its_messages(conversations: SyncConversations, root: UUID) -> None:
    fork = conversations.fork(root).id
    conversations.soft_delete(root)
    assert texts(conversations.history(fork)) == ["r1", "r2", "r3", "r4"]
    conversations.append_many(fork, new_messages("f5"))
    assert texts(conversations.history(conversations.fork(fork).id)) == ["r1", "r2", "r3", "r4", "f5"]


def test_a_foreign_key_protects_a_parent_that_has_forks(
    engine: Engine, conversations: SyncConversations, root: UUID
) -> None:
    conversations.fork(root)
    with pytest.raises(IntegrityError, match="fk_conversations_parent_id"), engine.begin() as connection:
        connection.execute(text("DELETE FROM rag.conversations WHERE id = :id"), {"id": root})


def test_a_purge_leaves_nothing_of_a_conversation(engine: Engine, conversations: SyncConversations, root: UUID) -> None:
    other = conversations.create("other").id
    conversations.append_many(other, new_messages("r1", "own"))
    embed(engine, "r1", "r2", "r3", "own")
    conversations.soft_delete(root)
    assert conversations.purge(root) == PurgeCounts(conversations=1, messages=4, inherited=0, vectors=2)
    assert rows(engine, "SELECT id FROM rag.conversations") == [(other,)]
    assert rows(engine, "SELECT content FROM rag.conversation_messages ORDER BY 1") == [("own",), ("r1",)]
    left = {hash_ for (hash_,) in rows(engine, "SELECT content_hash FROM rag.embeddings")}
    assert left == {content_hash("r1"), content_hash("own")}
    with pytest.raises(UsageError, match="no row with the id"):
        conversations.purge(root)


def test_vectors_of_other_kinds_stay(engine: Engine, conversations: SyncConversations, root: UUID) -> None:
    space = create_space(engine)
    with engine.begin() as connection:
        write_embeddings(connection, space.id, [EmbeddingRow(content_hash("r1"), unit_vectors(1, 8)[0])])
    assert conversations.purge(root).vectors == 0
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(1,)]


def test_a_purge_keeps_the_messages_that_forks_share(
    engine: Engine, conversations: SyncConversations, root: UUID
) -> None:
    embed(engine, "r1", "r2", "r3", "r4")
    middle = conversations.fork(root, version=3).id
    conversations.append_many(middle, new_messages("m4", "m5"))
    readers = {
        "late": conversations.fork(middle, version=5).id,
        "own": conversations.fork(middle, version=4).id,
        "early": conversations.fork(middle, version=2).id,
        "beside": conversations.fork(root, version=1).id,
    }
    for name, reader in readers.items():
        conversations.append_many(reader, new_messages(name))
    before = {name: texts(conversations.history(reader)) for name, reader in readers.items()}
    states = {name: conversations.get(reader) for name, reader in readers.items()}
    assert conversations.purge(middle) == PurgeCounts(conversations=1, messages=0, inherited=2, vectors=0)
    assert conversations.purge(root) == PurgeCounts(conversations=1, messages=1, inherited=3, vectors=1)
    assert {name: texts(conversations.history(reader)) for name, reader in readers.items()} == before
    assert before["late"] == ["r1", "r2", "r3", "m4", "m5", "late"]
    assert before["early"] == ["r1", "r2", "early"]
    for name, reader in readers.items():
        found, was = conversations.get(reader), states[name]
        assert (found.message_count, found.latest_version, found.updated_at) == (
            was.message_count,
            was.latest_version,
            was.updated_at,
        )
    assert rows(engine, "SELECT count(*) FROM rag.conversations") == [(4,)]
    # Purge them one after the other, in any order, until nothing is left.
    for name in ("late", "beside", "own", "early"):
        conversations.purge(readers.pop(name))
        assert {n: texts(conversations.history(reader)) for n, reader in readers.items()} == {
            n: before[n] for n in readers
        }
    assert rows(engine, MESSAGES) == [(0,)]
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(0,)]


def test_purging_a_user_keeps_the_messages_that_others_forked(
    engine: Engine, conversations: SyncConversations, users: SyncUsers, ada: User, root: UUID
) -> None:
    bob = users.create("bob@example.org")
    theirs = conversations.fork(root, version=2, user_id=bob.id).id
    conversations.fork(root, version=3)
    assert users.purge(ada.id) == PurgeCounts(conversations=2, messages=2, inherited=2, vectors=0)
    assert texts(conversations.history(theirs)) == ["r1", "r2"]
    assert rows(engine, "SELECT email FROM rag.users") == [("bob@example.org",)]
    assert rows(engine, "SELECT id FROM rag.conversations") == [(theirs,)]


def test_concurrent_appends_forks_and_purges_neither_deadlock_nor_lose_messages(
    engine: Engine, conversations: SyncConversations, root: UUID, in_loop: InLoop[list[UUID]]
) -> None:
    async def work(async_engine: AsyncEngine) -> list[UUID]:
        repository = Conversations(async_engine)
        forks = [(await repository.fork(root, version=2 + n % 3)).id for n in range(6)]
        grandchildren = [(await repository.fork(fork)).id for fork in forks]
        await asyncio.gather(
            *(
                repository.append_many(fork, new_messages(f"{n}"))
                for n, fork in enumerate(grandchildren)
                for _ in range(5)
            ),
            *(repository.fork(fork) for fork in grandchildren),
            *(repository.purge(fork) for fork in forks),
            repository.purge(root),
        )
        return grandchildren

    for n, left in enumerate(in_loop(work)):
        shared = ["r1", "r2", "r3", "r4"][: 2 + n % 3]
        history = conversations.history(left)
        assert texts(history) == [*shared, *[str(n)] * 5]
        assert [message.version for message in history] == list(range(1, len(history) + 1))
        assert conversations.get(left).message_count == len(history)
    assert rows(engine, "SELECT count(*) FROM rag.conversations") == [(12,)]

"""Memories: stored once for each owner, and recalled by similarity, importance and recency."""

import asyncio
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from rag_assets.db.models import EmbeddingSpace, Memory, User
from rag_assets.db.spaces.spaces import set_live_space
from rag_assets.db.writes.rows import EmbeddingRow
from rag_assets.db.writes.upserts import write_embeddings
from rag_assets.documents.text import content_hash
from rag_assets.errors import ServiceError, UsageError
from rag_assets.repositories import (
    Memories,
    NewMessage,
    RecallWeights,
    SyncConversations,
    SyncMemories,
    SyncProjects,
    SyncSpecializations,
    SyncUsers,
)
from tests.integration.repositories.conftest import InLoop
from tests.support.database.rows import create_space, definition, unit_vectors
from tests.support.pipeline.runs import rows

MEANING = RecallWeights(importance=0, recency=0)


@pytest.fixture
def space(engine: Engine) -> EmbeddingSpace:
    made = create_space(engine, definition("memories", kind="memories"))
    with engine.begin() as connection:
        set_live_space(connection, made)
    return made


def towards(similarity: float) -> list[float]:
    """A unit vector with this cosine similarity to the first axis."""
    return [similarity, math.sqrt(1 - similarity**2), 0, 0, 0, 0, 0, 0]


QUERY = towards(1)


def embed(engine: Engine, space: EmbeddingSpace, vectors: dict[str, Sequence[float]]) -> None:
    stored = [EmbeddingRow(content_hash(c), np.asarray(v, dtype=np.float32)) for c, v in vectors.items()]
    with engine.begin() as connection:
        write_embeddings(connection, space.id, stored)


def age(engine: Engine, memory: Memory, hours: float) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE rag.memories SET created_at = now() - make_interval(secs => :s), last_recalled_at = NULL"
                " WHERE id = :id"
            ),
            {"s": hours * 3600, "id": memory.id},
        )


def contents(found: Any) -> list[str]:
    return [recalled.memory.content for recalled in found]


def test_the_same_text_of_the_same_owner_is_reinforced(engine: Engine, memories: SyncMemories, ada: User) -> None:
    first = memories.remember("likes tea", user_id=ada.id, importance=0.5)
    again = memories.remember("likes\x00 tea", user_id=ada.id, importance=0.4)
    assert again.id == first.id
    assert again.importance == pytest.approx(1 - 0.5 * 0.6)
    assert first.last_recalled_at is None
    assert again.last_recalled_at is not None
    assert (again.recall_count, again.updated_at > first.updated_at) == (0, True)
    assert rows(engine, "SELECT count(*) FROM rag.memories") == [(1,)]


def test_the_same_text_of_another_owner_is_another_memory(
    engine: Engine, memories: SyncMemories, users: SyncUsers, ada: User
) -> None:
    bob = users.create("bob@example.org")
    zoo = SyncProjects(engine).create("zoo", "/zoo").id
    chef = SyncSpecializations(engine).create("chef").id
    owners: list[dict[str, UUID]] = [
        {},
        {"user_id": ada.id},
        {"user_id": bob.id},
        {"project_id": zoo},
        {"user_id": ada.id, "project_id": zoo},
        {"specialization_id": chef},
    ]
    for _ in range(2):
        for owner in owners:
            memories.remember("likes tea", **owner)
    assert rows(engine, "SELECT count(*) FROM rag.memories") == [(6,)]


def test_concurrent_calls_with_the_same_text_make_one_memory(
    memories: SyncMemories, ada: User, in_loop: InLoop[list[Memory]]
) -> None:
    async def work(engine: AsyncEngine) -> list[Memory]:
        each = [Memories(engine).remember("likes tea", user_id=ada.id, importance=0.1) for _ in range(20)]
        return await asyncio.gather(*each)

    assert len({memory.id for memory in in_loop(work)}) == 1
    [memory] = memories.list_by_user(ada.id).items
    assert memory.importance == pytest.approx(1 - 0.9**20)


def test_a_memory_expires_at_the_later_time_and_starts_over_once_expired(
    engine: Engine, memories: SyncMemories
) -> None:
    soon, late = (datetime.now(UTC) + timedelta(days=days) for days in (1, 9))
    assert memories.remember("a", expires_at=late).expires_at == late
    assert memories.remember("a", expires_at=soon).expires_at == late
    assert memories.remember("a").expires_at is None
    assert memories.remember("a", expires_at=soon).expires_at is None
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.memories SET expires_at = now() - interval '1 hour', importance = 1"))
    anew = memories.remember("a", importance=0.2, expires_at=soon)
    assert (anew.importance, anew.expires_at) == (pytest.approx(0.2), soon)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"content": " \x00"}, "content is empty"),
        ({"content": "x", "importance": 1.01}, "importance is 1.01; choose 0 to 1"),
        ({"content": "x", "importance": float("nan")}, "importance is nan"),
        ({"content": "x", "expires_at": datetime(2026, 1, 1)}, "memories.expires_at is .*; give a datetime with its"),  # noqa: DTZ001
        ({"content": "x", "user_id": UUID(int=7)}, "memories refers to a row that does not exist: .*user_id"),
        ({"content": "x", "source_message_id": UUID(int=7)}, "memories refers to .*source_message_id"),
    ],
)
def test_an_invalid_memory_is_refused(
    engine: Engine, memories: SyncMemories, values: dict[str, Any], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        memories.remember(**values)
    assert rows(engine, "SELECT count(*) FROM rag.memories") == [(0,)]


def test_recall_weights_similarity_importance_and_recency(
    engine: Engine, memories: SyncMemories, space: EmbeddingSpace
) -> None:
    near = memories.remember("near", importance=0.1)
    weighty = memories.remember("weighty", importance=1.0)
    fresh = memories.remember("fresh", importance=0.1)
    embed(engine, space, {"near": towards(0.9), "weighty": towards(0.5), "fresh": towards(0.4)})
    age(engine, near, 100)
    age(engine, weighty, 100)
    age(engine, fresh, 0)

    def best(**weights: float) -> list[str]:
        with engine.begin() as connection:
            state = connection.execute(text("SELECT id, last_recalled_at FROM rag.memories")).all()
        found = memories.recall(QUERY, weights=RecallWeights(**weights))
        with engine.begin() as connection:
            for id_, at in state:
                connection.execute(
                    text("UPDATE rag.memories SET last_recalled_at = :at WHERE id = :id"), {"at": at, "id": id_}
                )
        return contents(found)

    assert best(importance=0, recency=0) == ["near", "weighty", "fresh"]
    assert best(relevance=0, recency=0)[0] == "weighty"
    assert best(relevance=0, importance=0)[0] == "fresh"
    found = {recalled.memory.content: recalled for recalled in memories.recall(QUERY)}
    faded = 0.995**100
    assert found["near"].recency == pytest.approx(faded, rel=1e-4)
    assert found["near"].relevance == pytest.approx(0.9, abs=1e-5)
    assert found["near"].score == pytest.approx(0.9 + 0.1 + faded, rel=1e-4)
    assert found["fresh"].score == pytest.approx(0.4 + 0.1 + 1, rel=1e-4)
    assert list(found) == ["weighty", "near", "fresh"]


def test_a_recall_is_counted_and_resets_recency(engine: Engine, memories: SyncMemories, space: EmbeddingSpace) -> None:
    old = memories.remember("old")
    memories.remember("other")
    embed(engine, space, {"old": towards(0.9), "other": towards(0.1)})
    age(engine, old, 1000)
    before = memories.get(old.id)
    [found] = memories.recall(QUERY, k=1, weights=MEANING)
    assert found.recency == pytest.approx(0.995**1000, rel=1e-3)
    assert (found.memory.recall_count, found.memory.updated_at) == (1, before.updated_at)
    assert found.memory.last_recalled_at is not None
    assert memories.recall(QUERY, k=1, weights=MEANING)[0].recency == pytest.approx(1, abs=1e-3)
    assert memories.get(old.id).recall_count == 2
    assert rows(engine, "SELECT recall_count FROM rag.memories WHERE content = 'other'") == [(0,)]


def test_a_decay_that_underflows_is_no_error(engine: Engine, memories: SyncMemories, space: EmbeddingSpace) -> None:
    age(engine, memories.remember("old"), 24 * 365 * 50)
    embed(engine, space, {"old": QUERY})
    [found] = memories.recall(QUERY, weights=RecallWeights(decay_per_hour=0.01))
    assert found.recency == pytest.approx(0, abs=1e-300)


def test_only_memories_of_matching_owners_are_recalled(
    engine: Engine, memories: SyncMemories, users: SyncUsers, ada: User, space: EmbeddingSpace
) -> None:
    bob = users.create("bob@example.org").id
    zoo = SyncProjects(engine).create("zoo", "/zoo").id
    owners: dict[str, dict[str, UUID]] = {
        "everybody's": {},
        "ada's": {"user_id": ada.id},
        "bob's": {"user_id": bob},
        "ada's in the zoo": {"user_id": ada.id, "project_id": zoo},
        "the zoo's": {"project_id": zoo},
    }
    for content, owner in owners.items():
        memories.remember(content, **owner)
    embed(engine, space, {content: towards(0.5) for content in owners})

    def served(**here: UUID) -> set[str]:
        return set(contents(memories.recall(QUERY, **here)))

    assert served() == {"everybody's"}
    assert served(user_id=ada.id) == {"everybody's", "ada's"}
    assert served(user_id=bob, project_id=zoo) == {"everybody's", "bob's", "the zoo's"}
    assert served(user_id=ada.id, project_id=zoo) == {"everybody's", "ada's", "ada's in the zoo", "the zoo's"}


def test_forgotten_and_expired_memories_are_not_recalled(
    engine: Engine, memories: SyncMemories, ada: User, space: EmbeddingSpace
) -> None:
    made = {content: memories.remember(content, user_id=ada.id) for content in ("kept", "forgotten", "expired")}
    embed(engine, space, {content: towards(0.5) for content in made})
    memories.forget(made["forgotten"].id)
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.memories SET expires_at = now() WHERE content = 'expired'"))
    assert contents(memories.recall(QUERY, user_id=ada.id)) == ["kept"]
    assert [memory.content for memory in memories.list_by_user(ada.id).items] == ["kept"]
    assert memories.expire() == 1
    assert memories.expire() == 0
    with pytest.raises(UsageError, match="is deleted"):
        memories.get(made["expired"].id)
    assert memories.remember("forgotten", user_id=ada.id).id != made["forgotten"].id
    assert memories.purge(made["forgotten"].id) == 0
    assert memories.purge(made["expired"].id) == 1
    assert rows(engine, "SELECT count(*) FROM rag.embeddings") == [(2,)]


@pytest.mark.parametrize("exactly", [True, False])
def test_recall_through_the_index_ranks_like_an_exact_scan(
    engine: Engine,
    memories: SyncMemories,
    ada: User,
    space: EmbeddingSpace,
    monkeypatch: pytest.MonkeyPatch,
    exactly: bool,
) -> None:
    if not exactly:
        monkeypatch.setattr("rag_assets.repositories.operations.recall.MAX_EXACT_MEMORIES", 0)
    vectors = unit_vectors(300, 8)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO rag.memories (content, content_hash, user_id) SELECT 'm' || n, sha256(('m' || n)::bytea), "
                "CASE WHEN n % 3 = 0 THEN CAST(:ada AS uuid) END FROM generate_series(0, 299) n"
            ),
            {"ada": ada.id},
        )
    embed(engine, space, {f"m{n}": vector for n, vector in enumerate(vectors)})
    nearest = [f"m{n}" for n in np.argsort(-(vectors @ np.asarray(QUERY, dtype=np.float32)))]
    assert contents(memories.recall(QUERY, user_id=ada.id, k=20, weights=MEANING)) == nearest[:20]
    mine = [name for name in nearest if int(name[1:]) % 3]
    assert contents(memories.recall(QUERY, k=20, weights=MEANING)) == mine[:20]


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ([1.0] * 7, "vector has 7 dimensions; the space 1 has 8"),
        ([1.0] * 7 + [math.nan], r"vector\[7\] is nan; give finite numbers"),
        ([math.inf] + [1.0] * 7, r"vector\[0\] is inf"),
        ([1e39] + [1.0] * 7, r"vector\[0\] is 1e\+39"),
        ([0.0] * 8, "vector is all zeros"),
        (["a"] * 8, "vector is not a sequence of numbers"),
        (None, "vector is not a sequence of numbers"),
    ],
)
def test_an_invalid_vector_is_refused(memories: SyncMemories, space: EmbeddingSpace, vector: Any, error: str) -> None:
    memories.remember("a")
    with pytest.raises(UsageError, match=error):
        memories.recall(vector)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda m: m.recall(QUERY, k=0), "k is 0; choose 1 to 1000"),
        (lambda m: m.recall(QUERY, weights=RecallWeights(recency=-1)), "recency is -1; give a finite number"),
        (lambda m: m.recall(QUERY, weights=RecallWeights(recency="1")), "recency is '1'; give a finite number"),
        (lambda m: m.recall(QUERY, weights=RecallWeights(recency=10**400)), "recency is 1000"),
        (lambda m: m.recall(QUERY, weights=(1, 1, 1)), "weights is \\(1, 1, 1\\); give a mapping of numbers"),
        (lambda m: m.recall(QUERY, weights=RecallWeights(decay_per_hour=1.1)), "decay_per_hour is 1.1"),
        (lambda m: m.recall(QUERY, user_id="me"), "user_id is 'me'; give a UUID"),
    ],
)
def test_invalid_arguments_of_recall_are_refused(
    memories: SyncMemories, space: EmbeddingSpace, ask: Callable[[SyncMemories], Any], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        ask(memories)


def test_a_live_space_of_memories_leaves_the_view_of_chunks_alone(engine: Engine, space: EmbeddingSpace) -> None:
    shown = "SELECT pg_get_viewdef('rag.live_chunks')"
    with engine.begin() as connection:
        set_live_space(connection, create_space(engine))
    before = rows(engine, shown)
    with engine.begin() as connection:
        assert set_live_space(connection, create_space(engine, definition("more", kind="memories")))
    with engine.begin() as connection:
        assert not set_live_space(connection, create_space(engine, definition("more", kind="memories")))
    assert rows(engine, shown) == before


def test_nothing_is_recalled_before_a_space_is_live(memories: SyncMemories) -> None:
    with pytest.raises(ServiceError, match="no space of memories is live yet"):
        memories.recall(QUERY)


def test_concurrent_recalls_are_all_counted(
    engine: Engine, memories: SyncMemories, space: EmbeddingSpace, in_loop: InLoop[None]
) -> None:
    for n in range(10):
        memories.remember(str(n))
    embed(engine, space, {str(n): towards(n / 10) for n in range(10)})

    async def work(async_engine: AsyncEngine) -> None:
        repository = Memories(async_engine)
        # In opposite orders of score: without sorted locks they would deadlock.
        opposite = [-x for x in QUERY]
        await asyncio.gather(*(repository.recall(q, weights=MEANING) for q in (QUERY, opposite) for _ in range(15)))

    in_loop(work)
    assert rows(engine, "SELECT DISTINCT recall_count FROM rag.memories") == [(30,)]


def test_a_memory_is_deleted_with_any_of_its_owners_and_outlives_its_source(
    engine: Engine, memories: SyncMemories, conversations: SyncConversations, ada: User
) -> None:
    zoo = SyncProjects(engine).create("zoo", "/zoo").id
    specializations = SyncSpecializations(engine)
    chef = specializations.create("chef").id
    talk = conversations.create("talk")
    said = conversations.append(talk.id, NewMessage("user", "x"))
    memories.remember("ada", user_id=ada.id)
    memories.remember("zoo", project_id=zoo)
    memories.remember("chef", specialization_id=chef)
    kept = memories.remember("said", source_message_id=said.id)
    conversations.purge(talk.id)
    assert memories.get(kept.id).source_message_id is None
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM rag.users"))
        connection.execute(text("DELETE FROM rag.projects"))
    specializations.delete(chef)
    assert rows(engine, "SELECT content FROM rag.memories") == [("said",)]

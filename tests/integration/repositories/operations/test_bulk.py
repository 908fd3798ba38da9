"""Bulk inserts and upserts into any table: all rows or none."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from rag_assets.db.models import (
    Adapter,
    Base,
    Conversation,
    ConversationMessage,
    Document,
    Embedding,
    Memory,
    Project,
    Specialization,
    User,
    UserSession,
)
from rag_assets.db.writes.rows import WriteCounts
from rag_assets.documents.text import content_hash
from rag_assets.errors import UsageError
from rag_assets.repositories import Bulk, SyncBulk
from tests.integration.repositories.conftest import InLoop
from tests.support.database.rows import create_space, unit_vectors
from tests.support.pipeline.runs import rows


@pytest.fixture
def bulk(engine: Engine) -> SyncBulk:
    return SyncBulk(engine)


def people(count: int, name: str = "n") -> Iterator[dict[str, Any]]:
    for n in range(count):
        yield {"id": UUID(int=n + 1), "email": f"u{n}@example.org", "display_name": f"{name}{n}"}


def test_rows_inserted_in_batches_are_stored_unchanged(engine: Engine, bulk: SyncBulk) -> None:
    assert bulk.insert_rows(User, people(1234), batch_rows=100) == 1234
    assert rows(engine, "SELECT count(*), count(DISTINCT email), max(display_name) FROM rag.users") == [
        (1234, 1234, "n999")
    ]
    assert bulk.insert_rows(User, []) == 0


def test_rows_can_be_inserted_into_each_table(engine: Engine, bulk: SyncBulk, ada: User) -> None:
    owner = {"user_id": ada.id}
    project, special, talk = uuid4(), uuid4(), uuid4()
    given: list[tuple[type[Base], dict[str, Any]]] = [
        (Project, {"id": project, "name": "zoo", "source_uri": "/", "settings": {"a": [1]}}),
        (Document, {"project_id": project, "file_path": "a", "file_type": "text", "metadata": {"b": None}}),
        (Specialization, {"id": special, "name": "chef", "settings": {}}),
        (
            Adapter,
            {"specialization_id": special, "name": "v1", "base_model": "b", "uri": "u", "rank": 1, "alpha": 0.5},
        ),
        (UserSession, owner | {"token_hash": bytes(32), "expires_at": ada.created_at}),
        (Conversation, owner | {"id": talk, "name": "talk", "latest_version": 1, "message_count": 1}),
        (
            ConversationMessage,
            {"conversation_id": talk, "version": 1, "role": "user", "content": "a\x00b", "token_count": 1},
        ),
        (Memory, owner | {"content": "likes tea", "importance": 1}),
    ]
    for model, row in given:
        assert bulk.insert_rows(model, [row]) == 1
    assert rows(engine, "SELECT content, content_hash FROM rag.conversation_messages") == [("ab", content_hash("ab"))]
    assert rows(engine, "SELECT content_hash, importance FROM rag.memories") == [(content_hash("likes tea"), 1.0)]
    assert rows(engine, "SELECT settings FROM rag.projects") == [({"a": [1]},)]


def test_an_upsert_writes_only_what_differs(engine: Engine, bulk: SyncBulk) -> None:
    assert bulk.upsert_rows(User, people(10)) == WriteCounts(inserted=10)
    stamped = "SELECT id, updated_at, xmin::text FROM rag.users ORDER BY id"
    before = rows(engine, stamped)
    assert bulk.upsert_rows(User, people(10)) == WriteCounts(unchanged=10)
    assert rows(engine, stamped) == before
    changed = [*people(5, "m"), *list(people(12))[5:]]
    assert bulk.upsert_rows(User, changed, batch_rows=4) == WriteCounts(inserted=2, updated=5, unchanged=5)
    after = rows(engine, stamped)
    assert [new[1] > old[1] for new, old in zip(after, before, strict=False)] == [True] * 5 + [False] * 5


def test_an_upsert_can_use_another_unique_key(engine: Engine, bulk: SyncBulk) -> None:
    for description in ("old", "new"):
        given = [{"name": "chef", "description": description}]
        bulk.upsert_rows(Specialization, given, by=["name"])
    assert rows(engine, "SELECT name, description FROM rag.specializations") == [("chef", "new")]
    only_the_key = [{"name": "chef"}, {"name": "baker"}]
    assert bulk.upsert_rows(Specialization, only_the_key, by=["name"]) == WriteCounts(inserted=1, unchanged=1)


@pytest.mark.parametrize(
    ("model", "wrong", "error"),
    [
        (User, {"email": "x" * 255 + "@"}, r"users\.email is .*; it has 256 characters, at most 254 fit"),
        (User, {"email": "nobody"}, "the values violate the constraint ck_users_email_is_address of users"),
        (User, {"email": "U0@example.org"}, "users has such a row already"),
        (User, {"email": None}, "users.email is None; give a value"),
        (User, {"email": "a@b", "shoe_size": 43}, "users has no column 'shoe_size'; choose from: id, email"),
        (User, {"display_name": "x"}, "not all rows of users have the column"),
        (Memory, {"content": 7}, r"memories\.content is 7; give a text"),
    ],
)
def test_nothing_is_written_when_one_row_is_invalid(
    engine: Engine, bulk: SyncBulk, model: type[Base], wrong: dict[str, Any], error: str
) -> None:
    good: list[dict[str, Any]] = (
        [{"email": f"u{n}@example.org"} for n in range(9)] if model is User else [{"content": "x"}]
    )
    for write in (bulk.insert_rows, bulk.upsert_rows):
        given = [row | {"id": uuid4()} for row in [*good, wrong]] if write == bulk.upsert_rows else [*good, wrong]
        with pytest.raises(UsageError, match=error):
            write(model, given, batch_rows=3)
        assert rows(engine, f"SELECT count(*) FROM rag.{model.__tablename__}") == [(0,)]


def test_a_duplicate_or_missing_key_is_refused(engine: Engine, bulk: SyncBulk) -> None:
    with pytest.raises(UsageError, match="two of the rows have the same key"):
        bulk.upsert_rows(User, [*people(1), *people(1, "other")])
    with pytest.raises(UsageError, match=r"users\.id is missing; each row must have its key \(id\)"):
        bulk.upsert_rows(User, [{"email": "a@b"}])
    with pytest.raises(UsageError, match="users has no unique key of display_name"):
        bulk.upsert_rows(User, people(1), by=["display_name"])
    with pytest.raises(UsageError, match="batch_rows is 0"):
        bulk.insert_rows(User, people(1), batch_rows=0)
    assert rows(engine, "SELECT count(*) FROM rag.users") == [(0,)]


def test_the_async_class_inserts_the_same_rows(engine: Engine, in_loop: InLoop[WriteCounts]) -> None:
    async def work(async_engine: Any) -> WriteCounts:
        assert await Bulk(async_engine).insert_rows(User, people(10)) == 10
        return await Bulk(async_engine).upsert_rows(User, people(20))

    assert in_loop(work) == WriteCounts(inserted=10, unchanged=10)
    assert rows(engine, "SELECT count(*) FROM rag.users") == [(20,)]


def test_vectors_are_inserted_from_an_event_loop(engine: Engine, in_loop: InLoop[int]) -> None:
    space = create_space(engine)
    vectors = unit_vectors(20, 8)
    given = [
        {"space_id": space.id, "content_hash": content_hash(str(n)), "embedding": vector}
        for n, vector in enumerate(vectors)
    ]
    assert in_loop(lambda async_engine: Bulk(async_engine).insert_rows(Embedding, given, batch_rows=7)) == 20
    nearest = "SELECT content_hash FROM rag.embeddings ORDER BY embedding <=> CAST(:q AS vector) LIMIT 1"
    assert rows(engine, nearest, q=str(vectors[7].tolist())) == [(content_hash("7"),)]

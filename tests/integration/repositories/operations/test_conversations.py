"""Conversations: create, rename, list page by page, soft-delete and restore."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from rag_assets.db.models import User
from rag_assets.errors import UsageError
from rag_assets.repositories import Conversations, NewMessage, SyncConversations, SyncProjects, SyncUsers
from tests.integration.repositories.conftest import InLoop
from tests.support.pipeline.runs import rows


def test_a_new_conversation_is_empty(conversations: SyncConversations, ada: User) -> None:
    made = conversations.create("talk", user_id=ada.id)
    assert (made.name, made.user_id, made.project_id, made.parent_id) == ("talk", ada.id, None, None)
    assert (made.message_count, made.total_tokens, made.latest_version) == (0, 0, 0)
    assert conversations.get(made.id).id == made.id
    assert conversations.history(made.id) == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "conversations.name is ''; give a text that is not empty"),
        (" \x00 ", "give a text that is not empty"),
        ("n" * 201, "it has 201 characters, at most 200 fit"),
        (None, "conversations.name is None; give a value"),
        (7, "conversations.name is 7; give a text"),
    ],
)
def test_an_invalid_name_is_refused(conversations: SyncConversations, name: str, error: str) -> None:
    made = conversations.create("n" * 200)
    with pytest.raises(UsageError, match=error):
        conversations.create(name)
    with pytest.raises(UsageError, match=error):
        conversations.rename(made.id, name)
    assert conversations.get(made.id).name == "n" * 200


def test_an_unknown_owner_is_refused(engine: Engine, conversations: SyncConversations) -> None:
    nobody = uuid4()
    with pytest.raises(UsageError, match=rf"conversations refers to a row that does not exist: .*user_id.*{nobody}"):
        conversations.create("talk", user_id=nobody)
    assert rows(engine, "SELECT count(*) FROM rag.conversations") == [(0,)]


def test_a_rename_changes_the_name_and_updated_at(conversations: SyncConversations) -> None:
    made = conversations.create("old")
    renamed = conversations.rename(made.id, "new\x00")
    assert renamed.name == "new"
    assert renamed.updated_at > made.updated_at
    assert renamed.created_at == made.created_at


def test_a_deleted_conversation_is_hidden_until_it_is_restored(conversations: SyncConversations, ada: User) -> None:
    made = conversations.create("talk", user_id=ada.id)
    conversations.append(made.id, NewMessage("user", "hello"))
    deleted = conversations.soft_delete(made.id)
    assert deleted.deleted_at is not None
    assert conversations.soft_delete(made.id).deleted_at == deleted.deleted_at
    assert conversations.list_by_user(ada.id).items == []
    for refused in (conversations.get, conversations.history, conversations.fork):
        with pytest.raises(UsageError, match="is deleted; restore it first"):
            refused(made.id)
    with pytest.raises(UsageError, match="is deleted; restore it first"):
        conversations.rename(made.id, "other")
    for _ in range(2):
        assert conversations.restore(made.id).deleted_at is None
    assert [message.content for message in conversations.history(made.id)] == ["hello"]
    assert [found.id for found in conversations.list_by_user(ada.id).items] == [made.id]


def test_an_unknown_id_is_an_error_that_names_it(conversations: SyncConversations) -> None:
    unknown = uuid4()
    for refused in (
        conversations.get,
        conversations.history,
        conversations.fork,
        conversations.list_forks,
        conversations.soft_delete,
        conversations.restore,
        conversations.purge,
    ):
        with pytest.raises(UsageError, match=f"conversations has no row with the id {unknown}"):
            refused(unknown)


def test_pages_hold_each_conversation_once_when_all_have_the_same_time(
    engine: Engine, conversations: SyncConversations, users: SyncUsers, ada: User
) -> None:
    other = users.create("bob@example.org")
    conversations.create("not hers", user_id=other.id)
    mine = {conversations.create(f"talk {n}", user_id=ada.id).id for n in range(7)}
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.conversations SET created_at = '2026-01-01T00:00:00.123456Z'"))
    seen: list[UUID] = []
    after = None
    for expected in (3, 3, 1):
        page = conversations.list_by_user(ada.id, limit=3, after=after)
        assert len(page.items) == expected
        seen += [found.id for found in page.items]
        # Rows that are created, changed or deleted between pages neither hide nor repeat later rows.
        conversations.append(page.items[0].id, NewMessage("user", "used"))
        conversations.create("newer", user_id=ada.id)
        conversations.soft_delete(page.items[-1].id)
        after = page.next
    assert after is None
    assert len(seen) == 7
    assert set(seen) == mine


def test_a_list_starts_with_the_newest_and_can_be_limited_to_a_project(
    engine: Engine, conversations: SyncConversations, ada: User
) -> None:
    zoo = SyncProjects(engine).create("zoo", "/zoo").id
    made = [conversations.create(f"talk {n}", user_id=ada.id, project_id=zoo if n % 2 else None) for n in range(4)]
    listed = conversations.list_by_user(ada.id)
    assert [found.id for found in listed.items] == [found.id for found in reversed(made)]
    assert listed.next is None
    assert [found.name for found in conversations.list_by_user(ada.id, project_id=zoo).items] == ["talk 3", "talk 1"]


@pytest.mark.parametrize("cursor", ["", "x", "ä", "bm90IGEgY3Vyc29y", "MjAyNi0wMS0wMSB4"])
def test_an_invalid_cursor_is_refused(conversations: SyncConversations, ada: User, cursor: str) -> None:
    with pytest.raises(UsageError, match="pass the `next` of a page"):
        conversations.list_by_user(ada.id, after=cursor)


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_limit_out_of_range_is_refused(conversations: SyncConversations, ada: User, limit: int) -> None:
    with pytest.raises(UsageError, match=f"limit is {limit}; choose 1 to 1000"):
        conversations.list_by_user(ada.id, limit=limit)


def test_conversations_outlive_their_user_and_project(
    engine: Engine, conversations: SyncConversations, ada: User
) -> None:
    zoo = SyncProjects(engine).create("zoo", "/zoo")
    made = conversations.create("talk", user_id=ada.id, project_id=zoo.id)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM rag.users"))
        connection.execute(text("DELETE FROM rag.projects"))
    found = conversations.get(made.id)
    assert (found.user_id, found.project_id) == (None, None)


def test_the_async_class_does_the_same(conversations: SyncConversations, ada: User, in_loop: InLoop[None]) -> None:
    async def work(engine: object) -> None:
        repository = Conversations(engine)  # type: ignore[arg-type]
        made = await repository.create("talk", user_id=ada.id)
        await repository.append(made.id, NewMessage("user", "hello"))
        fork = await repository.fork(made.id, name="branch")
        assert [found.id for found in await repository.list_forks(made.id)] == [fork.id]
        assert [message.content for message in await repository.history(fork.id)] == ["hello"]
        with pytest.raises(UsageError, match="role is 'robot'"):
            await repository.append(made.id, NewMessage("robot", "x"))  # type: ignore[arg-type]
        assert (await repository.purge(made.id)).inherited == 1

    in_loop(work)
    [left] = conversations.list_by_user(ada.id).items
    assert (left.name, left.parent_id) == ("branch", None)
    assert Conversations.append.__doc__ == SyncConversations.append.__doc__
    assert "Append one message" in str(Conversations.append.__doc__)


def test_times_come_from_the_database_and_have_a_time_zone(conversations: SyncConversations) -> None:
    made = conversations.create("talk")
    assert made.created_at.tzinfo is not None
    assert abs(made.created_at - datetime.now(UTC)) < timedelta(minutes=5)

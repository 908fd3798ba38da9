"""Users: unique addresses, soft deletes, and purges with everything that belongs to the user."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from rag_assets.db.models import User
from rag_assets.errors import SessionError, UsageError
from rag_assets.repositories import NewMessage, SyncConversations, SyncMemories, SyncSessions, SyncUsers
from tests.support.pipeline.runs import rows


def test_a_user_is_found_by_address_ignoring_case(users: SyncUsers) -> None:
    made = users.create(" Ada@Example.org ", display_name="Ada")
    assert (made.email, made.display_name) == ("Ada@Example.org", "Ada")
    found = users.find_by_email("ADA@example.ORG")
    assert found is not None
    assert found.id == made.id
    assert users.find_by_email("bob@example.org") is None


@pytest.mark.parametrize("deleted", [False, True])
def test_an_address_is_unique_ignoring_case_also_among_deleted_users(
    engine: Engine, users: SyncUsers, ada: User, deleted: bool
) -> None:
    if deleted:
        users.soft_delete(ada.id)
    with pytest.raises(UsageError, match=r"users has such a row already: .*ada@example\.org"):
        users.create("ADA@EXAMPLE.ORG")
    assert rows(engine, "SELECT count(*) FROM rag.users") == [(1,)]


@pytest.mark.parametrize(
    ("email", "error"),
    [
        ("", "users.email is ''; give an address"),
        ("ada", "users.email is 'ada'; give an address"),
        ("@example.org", "give an address"),
        (None, "users.email is None; give an address"),
        ("a@" + "b" * 253, "it has 255 characters, at most 254 fit"),
    ],
)
def test_an_invalid_address_is_refused(engine: Engine, users: SyncUsers, email: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        users.create(email)
    assert rows(engine, "SELECT count(*) FROM rag.users") == [(0,)]


def test_a_check_constraint_refuses_an_invalid_address(engine: Engine) -> None:
    for email in ("ada", "@b"):
        with pytest.raises(IntegrityError, match="ck_users_email_is_address"), engine.begin() as connection:
            connection.execute(text("INSERT INTO rag.users (email) VALUES (:email)"), {"email": email})


def test_only_some_columns_may_be_changed(users: SyncUsers, ada: User) -> None:
    changed = users.update(ada.id, {"display_name": "Ada L.", "email": "lovelace@example.org"})
    assert (changed.display_name, changed.email) == ("Ada L.", "lovelace@example.org")
    assert changed.updated_at > ada.updated_at
    with pytest.raises(UsageError, match="'id' cannot be changed in users; give email, display_name"):
        users.update(ada.id, {"id": uuid4()})
    with pytest.raises(UsageError, match="there is nothing to change in users"):
        users.update(ada.id, {})
    with pytest.raises(UsageError, match=r"users\.display_name is .*; it has 201 characters, at most 200 fit"):
        users.update(ada.id, {"display_name": "a" * 201})


def test_a_deleted_user_is_hidden_and_signed_out_until_restored(engine: Engine, users: SyncUsers, ada: User) -> None:
    sessions = SyncSessions(engine)
    token = sessions.create(ada.id).token
    users.soft_delete(ada.id)
    assert users.find_by_email("ada@example.org") is None
    with pytest.raises(UsageError, match="is deleted; restore it first"):
        users.get(ada.id)
    with pytest.raises(SessionError, match="the user of this session is deleted"):
        sessions.authenticate(token)
    with pytest.raises(UsageError, match="is deleted; restore it first"):
        sessions.create(ada.id)
    users.restore(ada.id)
    assert sessions.authenticate(token).user_id == ada.id


def test_a_purge_leaves_nothing_of_a_user(
    engine: Engine, users: SyncUsers, conversations: SyncConversations, memories: SyncMemories, ada: User
) -> None:
    bob = users.create("bob@example.org")
    for owner in (ada, bob):
        SyncSessions(engine).create(owner.id)
        talk = conversations.create("talk", user_id=owner.id)
        said = conversations.append(talk.id, NewMessage("user", f"I am {owner.email}"))
        memories.remember(f"is {owner.email}", user_id=owner.id, source_message_id=said.id)
    users.soft_delete(ada.id)
    purged = users.purge(ada.id)
    assert (purged.conversations, purged.messages) == (1, 1)
    for table in ("users", "sessions", "conversations", "conversation_messages", "memories"):
        assert rows(engine, f"SELECT count(*) FROM rag.{table}") == [(1,)]
    assert rows(engine, "SELECT email, (SELECT content FROM rag.memories) FROM rag.users") == [
        ("bob@example.org", "is bob@example.org")
    ]
    with pytest.raises(UsageError, match="users has no row with the id"):
        users.purge(ada.id)

"""The example data: complete, reproducible, and not duplicated by a second run."""

import pytest
from sqlalchemy import Engine, text

from rag_assets.cli.seeding.load import AddedRows, add_example_data
from rag_assets.cli.seeding.plan import SIZES, planned_users
from rag_assets.errors import UsageError
from rag_assets.repositories import SyncConversations
from tests.support.pipeline.runs import rows

TABLES = (
    *("users", "sessions", "specializations", "adapters", "projects"),
    *("conversations", "conversation_messages", "memories"),
)


def read_stored(engine: Engine) -> dict[str, list[tuple[str, ...]]]:
    """The stored data without generated ids and write times."""
    return {
        "users": rows(engine, "SELECT email, display_name FROM rag.users ORDER BY 1"),
        "messages": rows(
            engine,
            "SELECT u.email, c.name, m.version, m.role, m.content, m.tool_call_id, m.created_at "
            "FROM rag.conversation_messages m JOIN rag.conversations c ON c.id = m.conversation_id "
            "JOIN rag.users u ON u.id = c.user_id ORDER BY 1, 2, 3",
        ),
        "memories": rows(engine, "SELECT content, importance FROM rag.memories ORDER BY 1"),
        "adapters": rows(engine, "SELECT name, status, metrics FROM rag.adapters ORDER BY 1"),
    }


def test_every_table_has_rows_and_each_conversation_is_consistent(engine: Engine) -> None:
    added = add_example_data(engine)
    users, talks = SIZES["small"]
    assert (added.users, added.sessions) == (users, users)
    assert added.conversations > users * talks
    for table in TABLES:
        assert rows(engine, f"SELECT count(*) > 0 FROM rag.{table}") == [(True,)], table
    conversations = SyncConversations(engine)
    [(forks,)] = rows(engine, "SELECT count(*) FROM rag.conversations WHERE parent_id IS NOT NULL")
    assert forks == added.conversations - users * talks
    for (id_,) in rows(engine, "SELECT id FROM rag.conversations"):
        history = conversations.history(id_)
        assert [message.version for message in history] == list(range(1, len(history) + 1))
        calls = {call["id"] for m in history for call in m.message_metadata.get("tool_calls", ())}
        assert {m.tool_call_id for m in history if m.role == "tool"} <= calls
    states = "SELECT status, count(*) FROM rag.adapters GROUP BY 1 ORDER BY 1"
    assert rows(engine, states) == [("draft", 1), ("ready", 2), ("retired", 1)]


def test_a_second_seed_adds_and_changes_nothing(engine: Engine) -> None:
    add_example_data(engine)
    before = read_stored(engine)
    assert add_example_data(engine) == AddedRows()
    assert read_stored(engine) == before


# In the order in which the seed writes the tables.
INTERRUPTIONS = {
    "adapters": "name <> 'reviewer-v1'",
    "conversation_messages": "content NOT LIKE 'Let us try again%'",
    "memories": "content NOT LIKE 'Edsger %'",
}


def test_an_interrupted_seed_is_completed_by_the_next(engine: Engine) -> None:
    add_example_data(engine)
    complete = read_stored(engine)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE rag.users, rag.conversations, rag.specializations, rag.projects CASCADE"))
    for table, rule in INTERRUPTIONS.items():
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE rag.{table} ADD CONSTRAINT stop CHECK ({rule})"))
        with pytest.raises(UsageError, match="stop"):
            add_example_data(engine)
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE rag.{table} DROP CONSTRAINT stop"))
    add_example_data(engine)
    assert read_stored(engine) == complete


@pytest.mark.parametrize("size", list(SIZES))
def test_the_plan_is_reproducible(size: str) -> None:
    plan = list(planned_users(size))  # type: ignore[arg-type]
    assert plan == list(planned_users(size))  # type: ignore[arg-type]
    users, talks = SIZES[size]  # type: ignore[index]
    assert len({user.email for user in plan}) == users
    for user in plan:
        assert len({talk.name for talk in user.conversations}) == talks
        assert all(len(talk.name) <= 180 for talk in user.conversations)

"""The most frequent statements use an index and scan no table."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

DAY = "created_at >= '2026-03-07T00:00:00Z' AND created_at < '2026-03-08T00:00:00Z'"

STATEMENTS = {
    "the messages of a day": (
        f"SELECT content_hash FROM rag.conversation_messages WHERE deleted_at IS NULL AND {DAY}",
        "ix_conversation_messages_created_at",
    ),
    "the newest messages of a conversation": (
        "SELECT * FROM rag.conversation_messages WHERE conversation_id = :id AND version <= 9 ORDER BY version DESC",
        "uq_conversation_messages_conversation_id_version",
    ),
    "deleted messages": (
        "SELECT content_hash FROM rag.conversation_messages WHERE deleted_at < now()",
        "ix_conversation_messages_deleted_at",
    ),
    "messages with a vector": (
        "SELECT id FROM rag.conversation_messages WHERE content_hash = sha256('x')",
        "ix_conversation_messages_content_hash",
    ),
    "a page of conversations": (
        (
            "SELECT * FROM rag.conversations WHERE user_id = :id AND (created_at, id) < (now(), :id) "
            "ORDER BY created_at DESC, id DESC LIMIT 50"
        ),
        "ix_conversations_user_id",
    ),
    "forks": ("SELECT * FROM rag.conversations WHERE parent_id = :id", "ix_conversations_parent_id"),
    "a user by address": ("SELECT * FROM rag.users WHERE lower(email) = 'a@b'", "uq_users_lower_email"),
    "a session by token": ("SELECT * FROM rag.sessions WHERE token_hash = sha256('x')", "uq_sessions_token_hash"),
    "memories of a user": ("SELECT * FROM rag.memories WHERE user_id = :id", "ix_memories_user_id"),
    "expired memories": ("SELECT * FROM rag.memories WHERE expires_at <= now()", "ix_memories_expires_at"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_frequent_statement_uses_its_index(engine: Engine, name: str) -> None:
    statement, index = STATEMENTS[name]
    with engine.begin() as connection:
        # The tables are empty: without this, the planner would choose a sequential scan.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.scalars(text(f"EXPLAIN {statement}"), {"id": uuid4()} if ":id" in statement else {}).all()
    assert index in "\n".join(plan)


def test_each_foreign_key_has_an_index_that_begins_with_it(engine: Engine) -> None:
    without = text(
        "SELECT c.conrelid::regclass::text, c.conname FROM pg_constraint c WHERE c.contype = 'f' "
        "AND c.connamespace = 'rag'::regnamespace AND c.conparentid = 0 AND NOT EXISTS (SELECT FROM pg_index i "
        "WHERE i.indrelid = c.conrelid AND i.indpred IS NULL "
        "AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)"
    )
    with engine.connect() as connection:
        assert connection.execute(without).all() == []

"""rag-assets embed: messages and memories become searchable; a second run embeds nothing."""

from datetime import UTC, datetime

from sqlalchemy import Engine, text

from rag_assets.repositories import NewMessage, SyncConversations
from rag_assets.search.retriever import Retriever
from rag_assets.settings.settings import Settings
from tests.support.fakes import HashEncoder
from tests.support.installation.command_line import Cli
from tests.support.json_shapes import EMBED, assert_shape
from tests.support.pipeline.runs import rows


def scalar(engine: Engine, statement: str) -> int:
    found: int = rows(engine, statement)[0][0]
    return found


def test_seeded_messages_and_memories_are_embedded_and_found(cli: Cli, settings: Settings, engine: Engine) -> None:
    assert cli("seed", "--json").code == 0
    pending = cli("status", "--json").json["pending"]
    texts = scalar(engine, "SELECT count(DISTINCT content_hash) FROM rag.conversation_messages WHERE content <> ''")
    memories = scalar(engine, "SELECT count(DISTINCT content_hash) FROM rag.memories")
    assert (pending["messages_to_embed"], pending["memories_to_embed"]) == (texts, memories)

    result = cli("embed", "messages", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, EMBED)
    # A text that occurs on several days counts on each day, and is embedded on the first.
    assert result.json["texts"]["embedded"] == result.json["vectors"]["stored"] == texts
    [(first, last)] = rows(
        engine, "SELECT min(created_at)::date::text, max(created_at)::date::text FROM rag.conversation_messages"
    )
    assert result.json["days"] == [first, last]
    assert result.json["texts"]["longer_than_window"] > 0
    assert len(result.json["checks"]) == 7
    assert all(check["passed"] for check in result.json["checks"])

    result = cli("embed", "memories", "--json")
    assert result.code == 0, result.err
    assert_shape(result.json, EMBED)
    assert result.json["texts"]["embedded"] == memories

    found = cli("status", "--json").json
    assert set(found["pending"].values()) == {0}
    assert {(space["kind"], space["status"], space["index_state"]) for space in found["spaces"]} == {
        ("messages", "live", "valid"),
        ("memories", "live", "valid"),
    }

    [(user, question)] = rows(
        engine,
        "SELECT c.user_id, m.content FROM rag.conversation_messages m JOIN rag.conversations c "
        "ON c.id = m.conversation_id WHERE m.role = 'user' AND m.content LIKE 'How does %' ORDER BY m.id LIMIT 1",
    )
    retriever = Retriever(engine, encoder=lambda space: HashEncoder(space.dimensions))
    hits = retriever.search_messages(question, user_id=user, k=3).hits
    assert (hits[0].text, round(hits[0].score, 4)) == (question, 1.0)
    assert {hit.user_id for hit in hits} == {user}
    hits = retriever.search_memories("short answers with one example", user_id=user, k=50).hits  # type: ignore[assignment]
    assert {hit.user_id for hit in hits} <= {user, None}


def test_a_run_with_nothing_to_embed_removes_vectors_of_deleted_messages(
    cli: Cli, settings: Settings, engine: Engine
) -> None:
    conversations = SyncConversations(engine)
    talk = conversations.create("talk").id
    for content in ("kept", "deleted"):
        conversations.append(talk, NewMessage("user", content))
    assert cli("embed", "messages", "--json").json["texts"]["embedded"] == 2
    conversations.delete_message(talk, 2)
    result = cli("embed", "messages", "--json")
    assert result.code == 0, result.err
    assert result.json["days"] == [datetime.now(UTC).date().isoformat()] * 2
    assert (result.json["texts"]["embedded"], result.json["vectors"]) == (0, {"stored": 1, "removed": 1})
    shown = cli("embed", "messages")
    assert shown.code == 0
    for words in ("messages", "distinct texts", "1 (1 reused)"):
        assert words in shown.out


def test_a_failed_check_is_printed_and_exits_with_1(cli: Cli, settings: Settings, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO rag.memories (content, content_hash) VALUES ('tea', sha256(convert_to('tea', 'UTF8')))")
        )
    assert cli("embed", "memories", "--json").code == 0
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.embeddings SET embedding = embedding * embedding"))
    result = cli("embed", "memories", "--json")
    assert result.code == 1
    assert "check memory_embeddings/memory_vectors_are_sound failed" in result.err
    assert cli("embed", "chunks").code == 2

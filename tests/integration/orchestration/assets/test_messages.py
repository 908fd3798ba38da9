"""Messages and memories in real runs: one day, a range of days, and runs with nothing to do."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from rag_assets.documents.text import content_hash
from rag_assets.orchestration.io.tables import MemorySlice, MessageSlice, load_slice
from rag_assets.repositories import SyncConversations, SyncMemories
from rag_assets.settings.settings import Settings
from tests.support.data.conversations import (
    FRIDAY,
    MONDAY,
    TUESDAY,
    add_conversation,
    embed_memories,
    embed_messages,
    embedded_hashes,
    materialize_without_checks,
)
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.pipeline.runs import errors, failed_checks, metadata, rows

CHECKS = {
    *("texts_have_vectors", "vectors_are_sound", "no_orphan_vectors", "index_valid", "index_used"),
    *("search_latency", "recall_at_10"),
}


@pytest.fixture(autouse=True)
def _fresh_encoders() -> None:
    ENCODERS.clear()


def hashes(*texts: str) -> set[bytes]:
    return {content_hash(text) for text in texts}


def metadata_by_day(result: dg.ExecuteInProcessResult) -> dict[str | None, dict[str, Any]]:
    """The metadata of message_embeddings by partition."""
    return {
        event.partition: {key: value.value for key, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("message_embeddings")
    }


def test_a_day_is_embedded_and_served_and_a_range_embeds_only_new_texts(settings: Settings, engine: Engine) -> None:
    add_conversation(engine, MONDAY, "storm", "storm", "", "tide")
    add_conversation(engine, MONDAY, "last of the day", hour=23)
    add_conversation(engine, TUESDAY, "tide", "whale")
    result = embed_messages(MONDAY)
    assert errors(result) == []
    assert failed_checks(result) == {}
    assert {found.check_name for found in result.get_asset_check_evaluations()} == {f"message_{c}" for c in CHECKS}
    assert embedded_hashes(engine, "messages") == hashes("storm", "tide", "last of the day")
    shown = metadata(result, "message_embeddings")
    assert (shown["distinct"], shown["embedded"], shown["inserted"]) == (3, 3, 3)
    assert shown["dagster/partition_row_count"] == 3
    assert shown["dagster/table_name"].endswith(".rag.embeddings")
    assert metadata(result, "live_messages")["promoted"] is True
    assert metadata(result, "message_index")["dagster/row_count"] == 3

    result = embed_messages(MONDAY, FRIDAY)
    assert failed_checks(result) == {}
    figures = metadata_by_day(result)
    assert list(figures) == [f"2026-03-{day:02}" for day in range(2, 7)]
    assert [found["embedded"] for found in figures.values()] == [0, 1, 0, 0, 0]
    assert [found["dagster/partition_row_count"] for found in figures.values()] == [3, 2, 0, 0, 0]
    assert embedded_hashes(engine, "messages") == hashes("storm", "tide", "last of the day", "whale")
    [encoder] = ENCODERS.values()
    assert len(encoder.embedded) == 4

    result = embed_messages(MONDAY, FRIDAY)
    assert sum(found["embedded"] for found in metadata_by_day(result).values()) == 0
    assert metadata(result, "live_messages")["promoted"] is False
    assert len(encoder.embedded) == 4


def test_memories_are_embedded_and_deleted_ones_removed_by_the_next_run(settings: Settings, engine: Engine) -> None:
    memories = SyncMemories(engine)
    for content in ("kept", "forgotten", "expired"):
        memories.remember(content)
    result = embed_memories()
    assert errors(result) == []
    assert failed_checks(result) == {}
    assert {found.check_name for found in result.get_asset_check_evaluations()} == {f"memory_{c}" for c in CHECKS}
    shown = metadata(result, "memory_embeddings")
    assert (shown["distinct"], shown["embedded"], shown["dagster/row_count"]) == (3, 3, 3)

    [(forgotten,)] = rows(engine, "SELECT id FROM rag.memories WHERE content = 'forgotten'")
    memories.forget(forgotten)
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.memories SET expires_at = now() WHERE content = 'expired'"))
    result = embed_memories()
    assert failed_checks(result) == {}
    assert metadata(result, "memory_index")["orphans_removed"] == 2
    assert embedded_hashes(engine, "memories") == hashes("kept")


def test_a_message_longer_than_the_window_is_embedded_in_parts_and_counted(settings: Settings, engine: Engine) -> None:
    long = "\n\n".join(f"Paragraph {n} of many: " + "the whale sings in the deep sea. " * 12 for n in range(9))
    add_conversation(engine, MONDAY, "short", long)
    result = embed_messages(MONDAY, only=["message_embeddings"])
    assert failed_checks(result) == {}
    assert metadata(result, "message_embeddings")["longer_than_window"] == 1
    [encoder] = ENCODERS.values()
    read = " ".join(text for text in encoder.embedded if text != "short")
    assert len(encoder.embedded) > 3
    assert read.split() == long.split()


def test_a_text_that_the_model_refuses_fails_the_check_until_the_next_run(settings: Settings, engine: Engine) -> None:
    def refuse(text: str) -> None:
        if text == "cursed":
            raise RuntimeError("the tensor is cursed")

    ENCODERS[1] = HashEncoder(fault=refuse)
    add_conversation(engine, MONDAY, "cursed", "fine")
    result = embed_messages(MONDAY)
    check = failed_checks(result)["message_texts_have_vectors"]
    assert (check["missing"], check["texts"]) == (1, 2)
    assert "RuntimeError: the tensor is …" in check["set_aside"][0], "the error does not quote the text"
    assert rows(engine, "SELECT status FROM rag.embedding_spaces") == [("building",)], (
        "the failed check prevents the promotion"
    )
    ENCODERS[1] = HashEncoder()
    assert failed_checks(embed_messages(MONDAY)) == {}
    assert rows(engine, "SELECT status FROM rag.embedding_spaces") == [("live",)]


def test_the_vector_of_a_deleted_message_is_removed_unless_shared(settings: Settings, engine: Engine) -> None:
    talk = add_conversation(engine, MONDAY, "said twice", "said once")
    add_conversation(engine, TUESDAY, "said twice")
    materialize_without_checks("message_embeddings", days=[MONDAY, TUESDAY])
    conversations = SyncConversations(engine)
    conversations.delete_message(talk, 1)
    conversations.delete_message(talk, 2)
    materialize_without_checks("message_embeddings", "message_index", days=[FRIDAY])
    assert embedded_hashes(engine, "messages") == hashes("said twice")


def test_a_changed_index_reuses_vectors_and_is_promoted_when_complete(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_conversation(engine, MONDAY, "storm")
    add_conversation(engine, TUESDAY, "tide")
    embed_messages(MONDAY, TUESDAY)
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "24")
    refused = embed_messages(MONDAY)
    assert "1 of 2 texts that searches find now have no vector in it yet" in errors(refused)[0]
    assert rows(engine, "SELECT status FROM rag.embedding_spaces ORDER BY id") == [("live",), ("building",)]
    result = embed_messages(TUESDAY)
    assert errors(result) == []
    spaces = rows(engine, "SELECT id, status FROM rag.embedding_spaces ORDER BY id")
    assert spaces == [(1, "previous"), (2, "live")]
    # The model is the same, so no text was embedded again.
    assert sum(len(encoder.embedded) for encoder in ENCODERS.values()) == 2


def test_an_asset_can_load_vectors_of_its_days_with_texts(settings: Settings, engine: Engine) -> None:
    add_conversation(engine, MONDAY, "storm", "tide")
    add_conversation(engine, TUESDAY, "whale", "tide")
    SyncMemories(engine).remember("likes tea")
    materialize_without_checks("message_embeddings", days=[MONDAY, TUESDAY])
    materialize_without_checks("memory_embeddings")
    messages = MessageSlice(engine, (MONDAY.isoformat(),), "messages")
    assert {row["content"] for row in messages} == {"storm", "tide"}
    assert MessageSlice(engine, (MONDAY.isoformat(), TUESDAY.isoformat()), "messages").count() == 3
    frame = load_slice(messages, pd.DataFrame)
    assert sorted(frame["content"]) == ["storm", "tide"]
    assert len(frame["embedding"].iloc[0]) == 384
    assert [row["content"] for row in MemorySlice(engine, ("",), "memories")] == ["likes tea"]

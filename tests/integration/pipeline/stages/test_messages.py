"""Messages and memories are embedded by the same stages as chunks, in spaces of their own."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Engine, text

from rag_assets.documents.text import content_hash
from rag_assets.pipeline import refresh
from rag_assets.pipeline.stages.index import refresh_indexes
from rag_assets.pipeline.stages.live_space import promote_wanted_space
from rag_assets.pipeline.target.wanted_space import WHOLE, Target, target_space
from rag_assets.repositories import NewMessage, SyncConversations, SyncMemories, SyncUsers
from rag_assets.settings.settings import Settings
from tests.support.fakes import HashEncoder
from tests.support.pipeline.runs import rows
from tests.support.pipeline.stages import write_batches

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
HASHES = (
    "SELECT e.content_hash FROM rag.embeddings e JOIN rag.embedding_spaces s ON s.id = e.space_id WHERE s.kind = :k"
)


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder()


@pytest.fixture
def messages(settings: Settings) -> Target:
    return target_space(settings, "messages")


@pytest.fixture
def memories(settings: Settings) -> Target:
    return target_space(settings, "memories")


def embedded_hashes(engine: Engine, kind: str) -> set[bytes]:
    return {hash_ for (hash_,) in rows(engine, HASHES, k=kind)}


def hashes(*texts: str) -> set[bytes]:
    return {content_hash(text) for text in texts}


def say(engine: Engine, day: date, *texts: str, hour: int = 0) -> SyncConversations:
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    conversations = SyncConversations(engine)
    talk = conversations.create("talk").id
    conversations.append_many(talk, [NewMessage("user", text, created_at=at) for text in texts])
    return conversations


def test_each_kind_has_its_own_space_with_the_same_model(
    settings: Settings, messages: Target, memories: Target
) -> None:
    definitions = [target.definition for target in (target_space(settings), messages, memories)]
    assert [definition.kind for definition in definitions] == ["chunks", "messages", "memories"]
    assert len({definition.fingerprint for definition in definitions}) == 3
    # Messages and memories are not chunked: a text is split only where it does not fit the window.
    assert {definition.chunking for definition in definitions[1:]} == {WHOLE}
    assert definitions[1].chunking_settings == definitions[2].chunking_settings
    assert len({(definition.model, definition.revision) for definition in definitions}) == 1


def test_messages_are_embedded_by_day_and_each_text_once(
    engine: Engine, settings: Settings, messages: Target, encoder: HashEncoder
) -> None:
    say(engine, MONDAY, "storm", "storm", "", "tide")
    say(engine, MONDAY, "last of the day", hour=23)
    say(engine, TUESDAY, "tide", "whale")

    def refresh_days(*days: date) -> int:
        figures = write_batches(
            engine, refresh.refresh_message_embeddings(engine, settings, days, messages, lambda _: encoder)
        )
        return figures["inserted"]

    assert refresh_days(MONDAY) == 3
    assert embedded_hashes(engine, "messages") == hashes("storm", "tide", "last of the day")
    assert refresh_days(MONDAY, TUESDAY) == 1
    assert refresh_days(MONDAY, TUESDAY) == 0
    assert sorted(encoder.embedded) == ["last of the day", "storm", "tide", "whale"]


def test_deleted_and_expired_texts_are_removed_by_the_next_run(
    engine: Engine, settings: Settings, messages: Target, memories: Target, encoder: HashEncoder
) -> None:
    conversations = say(engine, MONDAY, "kept", "deleted")
    [(talk,)] = rows(engine, "SELECT id FROM rag.conversations")
    remembered = SyncMemories(engine)
    for content in ("kept", "forgotten", "expired"):
        remembered.remember(content)
    write_batches(engine, refresh.refresh_message_embeddings(engine, settings, [MONDAY], messages, lambda _: encoder))
    write_batches(engine, refresh.refresh_memory_embeddings(engine, settings, memories, lambda _: encoder))
    conversations.delete_message(talk, 2)
    [(forgotten,)] = rows(engine, "SELECT id FROM rag.memories WHERE content = 'forgotten'")
    remembered.forget(forgotten)
    with engine.begin() as connection:
        connection.execute(text("UPDATE rag.memories SET expires_at = now() WHERE content = 'expired'"))
    assert refresh_indexes(engine, settings, messages)["orphans_removed"] == 1
    assert refresh_indexes(engine, settings, memories)["orphans_removed"] == 2
    for kind in ("messages", "memories"):
        assert embedded_hashes(engine, kind) == hashes("kept")
    # A kind reuses the vectors of another kind.
    assert sorted(encoder.embedded) == ["deleted", "expired", "forgotten", "kept"]


def test_memories_are_recalled_from_the_promoted_space(
    engine: Engine, settings: Settings, memories: Target, encoder: HashEncoder
) -> None:
    ada = SyncUsers(engine).create("ada@example.org").id
    remembered = SyncMemories(engine)
    for content in ("likes green tea", "keeps a whale", "works at night"):
        remembered.remember(content, user_id=ada)
    write_batches(engine, refresh.refresh_memory_embeddings(engine, settings, memories, lambda _: encoder))
    refresh_indexes(engine, settings, memories)
    assert promote_wanted_space(engine, settings, memories)["promoted"]
    assert not promote_wanted_space(engine, settings, memories)["promoted"]
    found = remembered.recall(encoder.encode_query("green tea").tolist(), user_id=ada, k=1)
    assert [recalled.memory.content for recalled in found] == ["likes green tea"]

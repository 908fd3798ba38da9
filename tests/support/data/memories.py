"""Memories of two users and shared memories, with vectors in a live space."""

from uuid import UUID

from sqlalchemy import Engine

from rag_assets.db.spaces.spaces import ensure_space, set_live_space
from rag_assets.pipeline import refresh
from rag_assets.pipeline.target.wanted_space import target_space
from rag_assets.repositories import SyncMemories, SyncUsers
from rag_assets.settings.settings import Settings
from tests.support.fakes import HashEncoder
from tests.support.pipeline.stages import write_batches

ENCODER = HashEncoder()


def create_memories(engine: Engine, settings: Settings) -> dict[str, UUID]:
    """Create the memories and return the ids of the users by name."""
    users = {name: SyncUsers(engine).create(f"{name}@example.com").id for name in ("ada", "ben")}
    memories = SyncMemories(engine)
    for content in ("likes green tea", "keeps a whale", "forgotten tea", "expired tea"):
        memories.remember(content, user_id=users["ada"], importance=0.5)
    memories.remember("tea is served at four", importance=0.9)
    memories.remember("ben likes tea", user_id=users["ben"])
    target = target_space(settings, "memories")
    write_batches(engine, refresh.refresh_memory_embeddings(engine, settings, target, lambda _: ENCODER))
    with engine.begin() as connection:
        set_live_space(connection, ensure_space(connection, target.definition))
    return users

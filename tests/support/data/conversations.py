"""Conversations written through the repositories, and runs of the jobs that embed messages and memories."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import dagster as dg
from sqlalchemy import Engine

from rag_assets.repositories import NewMessage, SyncConversations
from tests.support.pipeline.runs import errors, fake_defs, open_command_instance, rows, run

MONDAY, TUESDAY, FRIDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 6)
HASHES_OF_KIND = (
    "SELECT e.content_hash FROM rag.embeddings e JOIN rag.embedding_spaces s ON s.id = e.space_id WHERE s.kind = :k"
)


def add_conversation(engine: Engine, day: date, *texts: str, hour: int = 0, **conversation: Any) -> UUID:
    """Create a conversation with these messages, all dated to the day; return its id."""
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    conversations = SyncConversations(engine)
    conversation_id = conversations.create("talk", **conversation).id
    conversations.append_many(conversation_id, [NewMessage("user", text, created_at=at) for text in texts])
    return conversation_id


def embed_messages(*days: date, only: Sequence[str] | None = None) -> dg.ExecuteInProcessResult:
    """Run the job over one day, or over a range of days."""
    keys = [day.isoformat() for day in days]
    if len(keys) == 1:
        return run("embed_messages", key=keys[0], only=only)
    return run("embed_messages", keys=keys, only=only)


def embed_memories(only: Sequence[str] | None = None) -> dg.ExecuteInProcessResult:
    return run("embed_memories", only=only)


def materialize_without_checks(*assets: str, days: Sequence[date] = ()) -> None:
    """Materialize the assets without their checks, which take most of the time."""
    selection = dg.AssetSelection.assets(*assets) - dg.AssetSelection.all_asset_checks()
    defs = dg.Definitions(
        assets=fake_defs.assets,
        resources=fake_defs.resources,
        jobs=[dg.define_asset_job("unchecked", selection=selection)],
    )
    names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    result = defs.resolve_job_def("unchecked").execute_in_process(
        instance=open_command_instance(),
        tags={name: day.isoformat() for name, day in zip(names, (min(days), max(days)), strict=True)} if days else {},
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert errors(result) == []


def embedded_hashes(engine: Engine, kind: str) -> set[bytes]:
    return {hash_ for (hash_,) in rows(engine, HASHES_OF_KIND, k=kind)}

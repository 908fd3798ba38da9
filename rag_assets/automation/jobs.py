"""The jobs: everything for one project or several, for messages and memories, and the checks alone."""

import dagster as dg

INGESTED = dg.AssetSelection.groups("rag")

ingest = dg.define_asset_job(
    "ingest",
    selection=INGESTED,
    description="Bring documents, chunks, vectors, index and the live space up to date, and check them.",
)

embed_messages = dg.define_asset_job(
    "embed_messages",
    selection=dg.AssetSelection.assets("message_embeddings", "message_index", "live_messages"),
    description="Bring the vectors of some days' messages, their index and live space up to date, and check them.",
)

embed_memories = dg.define_asset_job(
    "embed_memories",
    selection=dg.AssetSelection.assets("memory_embeddings", "memory_index", "live_memories"),
    description="Bring the vectors of memories, their index and live space up to date, and check them.",
)

checks = dg.define_asset_job(
    "checks",
    selection=dg.AssetSelection.all_asset_checks(),
    description="Run all checks; materialize nothing.",
)

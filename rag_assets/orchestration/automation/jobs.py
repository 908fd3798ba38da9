"""The jobs: everything for one project or several, for messages and memories, the checks alone, the maintenance."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.automation.maintenance_job import maintenance_job
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from rag_assets.orchestration.storage.dagster_internals import UnresolvedAssetJobDefinition

INGESTED = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
OF_MESSAGES = ("message_embeddings", "message_index", "live_messages")
OF_MEMORIES = ("memory_embeddings", "memory_index", "live_memories")
ASSETS = (*INGESTED, *OF_MESSAGES, *OF_MEMORIES, "corpus_map")


@dataclass(frozen=True, slots=True)
class Jobs:
    ingest: "UnresolvedAssetJobDefinition"
    embed_messages: "UnresolvedAssetJobDefinition"
    embed_memories: "UnresolvedAssetJobDefinition"
    checks: "UnresolvedAssetJobDefinition"
    maintenance: dg.JobDefinition

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]


def jobs_of(pipeline: Pipeline) -> Jobs:
    def job(name: str, selection: dg.AssetSelection, description: str) -> "UnresolvedAssetJobDefinition":
        return dg.define_asset_job(
            pipeline.name(name),
            selection=selection,
            description=description,
            # Each step waits for the one before: processes of their own would only cost, some two seconds each and a
            # model that is loaded anew.
            executor_def=dg.in_process_executor,
        )

    return Jobs(
        ingest=job(
            "ingest",
            selected(pipeline, INGESTED),
            "Bring documents, chunks, vectors, index and the live space up to date, and check them.",
        ),
        embed_messages=job(
            "embed_messages",
            selected(pipeline, OF_MESSAGES),
            "Bring the vectors of some days' messages, their index and live space up to date, and check them.",
        ),
        embed_memories=job(
            "embed_memories",
            selected(pipeline, OF_MEMORIES),
            "Bring the vectors of memories, their index and live space up to date, and check them.",
        ),
        checks=job(
            "checks",
            dg.AssetSelection.checks_for_assets(*pipeline.keys(ASSETS)),
            "Run all checks; materialize nothing.",
        ),
        maintenance=maintenance_job(pipeline),
    )


def selected(pipeline: Pipeline, assets: tuple[str, ...]) -> dg.AssetSelection:
    """By key, since others may have assets in the same group."""
    return dg.AssetSelection.assets(*pipeline.keys(assets))

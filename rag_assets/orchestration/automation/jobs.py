"""The jobs: everything for one project or several, for messages and memories, the checks alone, the maintenance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.assets.registered_tables import asset_names
from rag_assets.orchestration.automation.maintenance_job import maintenance_job
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from rag_assets.orchestration.storage.dagster_internals import UnresolvedAssetJobDefinition

INGESTED = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
OF_MESSAGES = ("message_embeddings", "message_index", "live_messages")
OF_MEMORIES = ("memory_embeddings", "memory_index", "live_memories")


@dataclass(frozen=True, slots=True)
class Jobs:
    ingest: "UnresolvedAssetJobDefinition"
    embed_messages: "UnresolvedAssetJobDefinition"
    embed_memories: "UnresolvedAssetJobDefinition"
    checks: "UnresolvedAssetJobDefinition"
    maintenance: dg.JobDefinition
    # By the name of the table.
    embed_tables: "Mapping[str, UnresolvedAssetJobDefinition]"


def all_assets(pipeline: Pipeline) -> list[str]:
    of_tables = [name for kind in pipeline.registered_kinds for name in asset_names(kind)]
    return [*INGESTED, *OF_MESSAGES, *OF_MEMORIES, "corpus_map", *of_tables]


def job_names(pipeline: Pipeline) -> list[str]:
    embedding = [f"embed_{kind}" for kind in ("messages", "memories", *pipeline.registered_kinds)]
    return ["ingest", *embedding, "checks", "maintenance"]


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
            dg.AssetSelection.checks_for_assets(*pipeline.keys(all_assets(pipeline))),
            "Run all checks; materialize nothing.",
        ),
        maintenance=maintenance_job(pipeline),
        embed_tables={
            kind: job(
                f"embed_{kind}",
                selected(pipeline, asset_names(kind)),
                f"Bring the vectors of the table {kind}, their index and live space up to date, and check them.",
            )
            for kind in pipeline.registered_kinds
        },
    )


def selected(pipeline: Pipeline, assets: tuple[str, ...]) -> dg.AssetSelection:
    """By key, since others may have assets in the same group."""
    return dg.AssetSelection.assets(*pipeline.keys(assets))

"""The jobs: ingest, messages, memories, the checks alone, and maintenance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.assets.conditions import READS_CHANGES
from rag_assets.orchestration.assets.registered_tables import asset_names
from rag_assets.orchestration.automation.maintenance_job import build_maintenance_job
from rag_assets.orchestration.scope import PipelineScope

if TYPE_CHECKING:
    from rag_assets.orchestration.storage.dagster_internals import UnresolvedAssetJobDefinition

INGEST_ASSETS = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
MESSAGE_ASSETS = ("message_embeddings", "message_index", "live_messages")
MEMORY_ASSETS = ("memory_embeddings", "memory_index", "live_memories")

# Each step waits for the one before it. A process for each only costs: some two seconds to start, and the model loaded
# again; but what a step leaks goes with it.
EXECUTORS: dict[str, dg.ExecutorDefinition] = {
    "in_process": dg.in_process_executor,
    "multiprocess": dg.multiprocess_executor,
}


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of one pipeline; `embed_tables` has one for each registered table, by the table's name."""

    ingest: "UnresolvedAssetJobDefinition"
    embed_messages: "UnresolvedAssetJobDefinition"
    embed_memories: "UnresolvedAssetJobDefinition"
    checks: "UnresolvedAssetJobDefinition"
    maintenance: dg.JobDefinition
    embed_tables: "Mapping[str, UnresolvedAssetJobDefinition]"


def all_assets(scope: PipelineScope) -> list[str]:
    of_tables = [name for kind in scope.registered_kinds for name in asset_names(kind)]
    return [*INGEST_ASSETS, *MESSAGE_ASSETS, *MEMORY_ASSETS, "corpus_map", *of_tables]


def job_names(scope: PipelineScope) -> list[str]:
    embedding = [f"embed_{kind}" for kind in ("messages", "memories", *scope.registered_kinds)]
    return ["ingest", *embedding, "checks", "maintenance"]


def build_jobs(scope: PipelineScope) -> Jobs:
    def job(name: str, selection: dg.AssetSelection, description: str) -> "UnresolvedAssetJobDefinition":
        return dg.define_asset_job(
            scope.name(name),
            selection=selection,
            description=description,
            tags=READS_CHANGES if name != "checks" else None,
            executor_def=EXECUTORS[scope.settings.executor],
        )

    return Jobs(
        ingest=job(
            "ingest",
            select_assets(scope, INGEST_ASSETS),
            "Bring documents, chunks, vectors, index and the live space up to date, and check them.",
        ),
        embed_messages=job(
            "embed_messages",
            select_assets(scope, MESSAGE_ASSETS),
            "Bring the vectors of some days' messages, their index and live space up to date, and check them.",
        ),
        embed_memories=job(
            "embed_memories",
            select_assets(scope, MEMORY_ASSETS),
            "Bring the vectors of memories, their index and live space up to date, and check them.",
        ),
        checks=job(
            "checks",
            dg.AssetSelection.checks_for_assets(*scope.keys(all_assets(scope))),
            "Run all checks, over all rows; materialize nothing.",
        ),
        maintenance=build_maintenance_job(scope),
        embed_tables={
            kind: job(
                f"embed_{kind}",
                select_assets(scope, asset_names(kind)),
                f"Bring the vectors of the table {kind}, their index and live space up to date, and check them.",
            )
            for kind in scope.registered_kinds
        },
    )


def select_assets(scope: PipelineScope, assets: tuple[str, ...]) -> dg.AssetSelection:
    """Select by key: a group may also have assets of others."""
    return dg.AssetSelection.assets(*scope.keys(assets))

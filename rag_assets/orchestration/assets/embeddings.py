"""embeddings: a vector for every distinct chunk text."""

import dagster as dg

from rag_assets.orchestration.assets.conditions import FOLLOWS_UPSTREAM
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, RETRY_POLICY, projects_backfill
from rag_assets.orchestration.io.tables import ChunkSlice
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.stages.batches import BatchStream


def embeddings_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @dg.asset(
        key=scope.key("embeddings"),
        ins={"chunks": dg.AssetIn(scope.key("chunks"))},
        partitions_def=scope.projects,
        io_manager_key=scope.tables_key,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        group_name="rag",
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRY_POLICY,
        automation_condition=FOLLOWS_UPSTREAM,
    )
    @scope.executed
    def embeddings(context: dg.AssetExecutionContext, chunks: ChunkSlice) -> BatchStream:
        """Vectors of the chunk texts, in `rag.embeddings`, stored once under the hash of the text.

        Only texts without a vector go through the model: renamed files, repeated pages and full rebuilds embed nothing.
        Each batch is committed as it comes, so a killed run loses at most the batch in flight.
        """
        from rag_assets.pipeline.refresh import refresh_embeddings

        postgres, embedder = scope.postgres(context), scope.embedder(context)
        batches = refresh_embeddings(
            postgres.engine,
            postgres.settings,
            chunks.projects,
            embedder.target(),
            embedder.encoder,
            context.run.run_id,
        )
        return BatchStream(batches)

    return embeddings.with_attributes(backfill_policy=projects_backfill(scope.settings))

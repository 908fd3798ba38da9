"""embeddings: a vector for every distinct text."""

import dagster as dg

from rag_assets.orchestration.assets.conditions import FOLLOWS_UPSTREAM
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, ONE_RUN, RETRIES
from rag_assets.orchestration.io.tables import Chunks
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.stages.batches import EmbeddingBatches


def embeddings(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("embeddings"),
        ins={"chunks": dg.AssetIn(pipeline.key("chunks"))},
        partitions_def=pipeline.projects,
        io_manager_key=pipeline.tables_key,
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name="rag",
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRIES,
        automation_condition=FOLLOWS_UPSTREAM,
    )
    def embeddings(context: dg.AssetExecutionContext, chunks: Chunks) -> EmbeddingBatches:
        """Vectors of the chunk texts, in `rag.embeddings`, stored once under the hash of the text.

        Only texts without a vector go through the model: renamed files, repeated pages and full rebuilds embed nothing.
        Each batch is committed as it comes, so a killed run loses at most the batch in flight.
        """
        from rag_assets.pipeline import refresh

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        return EmbeddingBatches(
            refresh.embeddings(
                postgres.engine,
                postgres.settings,
                chunks.projects,
                embedder.target(),
                embedder.encoder,
                context.run.run_id,
            )
        )

    return embeddings.with_attributes(backfill_policy=ONE_RUN)

"""embeddings: a vector for every distinct text."""

import dagster as dg

from rag_assets.assets.policies import EMBEDDER_POOL, ONE_RUN, RETRIES
from rag_assets.automation.conditions import FOLLOWS_UPSTREAM
from rag_assets.io.tables import Chunks
from rag_assets.partitions import projects
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres
from rag_assets.stages.batches import EmbeddingBatches


@dg.asset(
    partitions_def=projects,
    io_manager_key="tables",
    group_name="rag",
    kinds={"pytorch", "postgres"},
    pool=EMBEDDER_POOL,
    retry_policy=RETRIES,
    automation_condition=FOLLOWS_UPSTREAM,
)
def embeddings(
    context: dg.AssetExecutionContext, chunks: Chunks, postgres: Postgres, embedder: Embedder
) -> EmbeddingBatches:
    """Vectors of the chunk texts, in `rag.embeddings`, stored once under the hash of the text.

    Only texts without a vector go through the model: renamed files, repeated pages and full rebuilds embed nothing.
    Each batch is committed as it comes, so a killed run loses at most the batch in flight.
    """
    from rag_assets.stages import refresh

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


embeddings = embeddings.with_attributes(backfill_policy=ONE_RUN)

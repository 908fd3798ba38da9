"""memory_embeddings, memory_index and live_memories: vector search over memories."""

import dagster as dg

from rag_assets.orchestration.assets.index import database_asset, materialize_index, materialize_live_space
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, INDEX_POOL, RETRY_POLICY
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.stages.batches import BatchStream


def memory_embeddings_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @dg.asset(
        key=scope.key("memory_embeddings"),
        io_manager_key=scope.tables_key,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        group_name="conversations",
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRY_POLICY,
    )
    @scope.executed
    def memory_embeddings(context: dg.AssetExecutionContext) -> BatchStream:
        """Vectors of all memories that are neither forgotten nor expired, in `rag.embeddings`.

        Only texts without a vector go through the model. A memory longer than the model's window is embedded in
        pieces, and its vector is the mean of theirs.
        """
        from rag_assets.pipeline.refresh import refresh_memory_embeddings

        postgres, embedder = scope.postgres(context), scope.embedder(context)
        batches = refresh_memory_embeddings(
            postgres.engine, postgres.settings, embedder.target("memories"), embedder.encoder, context.run.run_id
        )
        return BatchStream(batches)

    return memory_embeddings


def memory_index_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @database_asset(scope, "memory_index", upstream="memory_embeddings", group="conversations", pool=INDEX_POOL)
    @scope.executed
    def memory_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of memories, valid and with the wanted parameters.

        Vectors of memories that are forgotten or expired are removed first.
        """
        return materialize_index(context, scope, "memories")

    return memory_index


def live_memories_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @database_asset(scope, "live_memories", upstream="memory_index", group="conversations")
    @scope.executed
    def live_memories(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space in which memories are recalled and searched.

        The wanted space is promoted only once it is proved: complete, indexed, fast and accurate enough.
        """
        return materialize_live_space(context, scope, "memories", table="embeddings")

    return live_memories

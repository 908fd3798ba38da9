"""memory_embeddings, memory_index and live_memories: what is remembered, recalled by meaning."""

import dagster as dg

from rag_assets.orchestration.assets.index import build_index, database_asset, serve
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, INDEX_POOL, RETRIES
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.stages.batches import EmbeddingBatches


def memory_embeddings(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("memory_embeddings"),
        io_manager_key=pipeline.tables_key,
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name="conversations",
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRIES,
    )
    def memory_embeddings(context: dg.AssetExecutionContext) -> EmbeddingBatches:
        """Vectors of all memories that are neither forgotten nor expired, in `rag.embeddings`.

        Only texts without a vector go through the model. A memory longer than the model's window is embedded in
        pieces, and has the mean of their vectors.
        """
        from rag_assets.pipeline import refresh

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        target = embedder.target("memories")
        return EmbeddingBatches(refresh.memory_embeddings(postgres.engine, postgres.settings, target, embedder.encoder))

    return memory_embeddings


def memory_index(pipeline: Pipeline) -> dg.AssetsDefinition:
    @database_asset(pipeline, "memory_index", of="memory_embeddings", group="conversations", pool=INDEX_POOL)
    def memory_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The HNSW index over the vectors of memories, valid and with the wanted parameters.

        Vectors of memories that are forgotten or expired are removed first.
        """
        return build_index(context, pipeline, "memories")

    return memory_index


def live_memories(pipeline: Pipeline) -> dg.AssetsDefinition:
    @database_asset(pipeline, "live_memories", of="memory_index", group="conversations")
    def live_memories(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space in which memories are recalled and searched.

        The pointer moves to the wanted space only when that one is proved: complete, indexed, fast and exact enough.
        """
        return serve(context, pipeline, "memories", table="embeddings")

    return live_memories

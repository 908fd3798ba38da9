"""message_embeddings, message_index and live_messages: what was said, found by meaning."""

import dagster as dg

from rag_assets.orchestration.assets.index import build_index, database_asset, serve
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, INDEX_POOL, ONE_RUN, RETRIES
from rag_assets.orchestration.partitions import days_of
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.stages.batches import EmbeddingBatches


def message_embeddings(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("message_embeddings"),
        partitions_def=pipeline.days,
        io_manager_key=pipeline.tables_key,
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name="conversations",
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRIES,
    )
    def message_embeddings(context: dg.AssetExecutionContext) -> EmbeddingBatches:
        """Vectors of the messages of a day (UTC), in `rag.embeddings`, stored once under the hash of the text.

        Only texts without a vector go through the model, whatever the day on which they were said before. A message
        longer than the model's window is embedded in pieces, and has the mean of their vectors.
        """
        from rag_assets.pipeline import refresh

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        target = embedder.target("messages")
        return EmbeddingBatches(
            refresh.message_embeddings(postgres.engine, postgres.settings, days_of(context), target, embedder.encoder)
        )

    return message_embeddings.with_attributes(backfill_policy=ONE_RUN)


def message_index(pipeline: Pipeline) -> dg.AssetsDefinition:
    @database_asset(pipeline, "message_index", of="message_embeddings", group="conversations", pool=INDEX_POOL)
    def message_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The HNSW index over the vectors of messages, valid and with the wanted parameters.

        Vectors of messages that are deleted, and stand nowhere else, are removed first.
        """
        return build_index(context, pipeline, "messages")

    return message_index


def live_messages(pipeline: Pipeline) -> dg.AssetsDefinition:
    @database_asset(pipeline, "live_messages", of="message_index", group="conversations")
    def live_messages(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space in which messages are searched.

        The pointer moves to the wanted space only when that one is proved: complete up to today, indexed, fast and
        exact enough.
        """
        return serve(context, pipeline, "messages", table="embeddings")

    return live_messages

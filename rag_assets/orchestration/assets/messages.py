"""message_embeddings, message_index and live_messages: vector search over the messages of conversations."""

import dagster as dg

from rag_assets.orchestration.assets.index import database_asset, materialize_index, materialize_live_space
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, INDEX_POOL, RETRY_POLICY, SINGLE_RUN
from rag_assets.orchestration.partitions import partition_days
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.stages.batches import BatchStream


def message_embeddings_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @dg.asset(
        key=scope.key("message_embeddings"),
        partitions_def=scope.days,
        io_manager_key=scope.tables_key,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        group_name="conversations",
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRY_POLICY,
    )
    @scope.executed
    def message_embeddings(context: dg.AssetExecutionContext) -> BatchStream:
        """Vectors of the messages of a day (UTC), in `rag.embeddings`, stored once under the hash of the text.

        Only texts without a vector go through the model, on whatever day the same text was sent before. A message
        longer than the model's window is embedded in pieces, and its vector is the mean of theirs.
        """
        from rag_assets.pipeline.refresh import refresh_message_embeddings

        postgres, embedder = scope.postgres(context), scope.embedder(context)
        batches = refresh_message_embeddings(
            postgres.engine,
            postgres.settings,
            partition_days(context),
            embedder.target("messages"),
            embedder.encoder,
            context.run.run_id,
        )
        return BatchStream(batches)

    return message_embeddings.with_attributes(backfill_policy=SINGLE_RUN)


def message_index_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @database_asset(scope, "message_index", upstream="message_embeddings", group="conversations", pool=INDEX_POOL)
    @scope.executed
    def message_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of messages, valid and with the wanted parameters.

        Vectors of texts that no message has any more are removed first.
        """
        return materialize_index(context, scope, "messages")

    return message_index


def live_messages_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @database_asset(scope, "live_messages", upstream="message_index", group="conversations")
    @scope.executed
    def live_messages(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space in which messages are searched.

        The wanted space is promoted only once it is proved: complete up to today, indexed, fast and accurate enough.
        """
        return materialize_live_space(context, scope, "messages", table="embeddings")

    return live_messages

"""The assets of a table that another package registers: notes_embeddings, notes_index and live_notes for `notes`."""

import dagster as dg

from rag_assets.orchestration.assets.index import database_asset, materialize_index, materialize_live_space
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, INDEX_POOL, RETRY_POLICY
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.stages.batches import BatchStream

GROUP = "tables"


def asset_names(kind: str) -> tuple[str, str, str]:
    """The names of the embeddings, the index and the live space of a registered table."""
    return f"{kind}_embeddings", f"{kind}_index", f"live_{kind}"


def table_assets(scope: PipelineScope, kind: str) -> list[dg.AssetsDefinition]:
    embeddings_name, index_name, live_name = asset_names(kind)

    @dg.asset(
        key=scope.key(embeddings_name),
        io_manager_key=scope.tables_key,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        group_name=GROUP,
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRY_POLICY,
    )
    @scope.executed
    def embeddings(context: dg.AssetExecutionContext) -> BatchStream:
        """Vectors of all rows of this table that are not deleted, in `rag.embeddings`.

        Only texts without a vector are embedded. A text longer than the model's window is embedded in pieces, and gets
        the mean of their vectors.
        """
        from rag_assets.pipeline.refresh import refresh_registered_table_embeddings

        postgres, embedder = scope.postgres(context), scope.embedder(context)
        batches = refresh_registered_table_embeddings(
            postgres.engine, postgres.settings, embedder.target(kind), embedder.encoder, context.run.run_id
        )
        return BatchStream(batches)

    @database_asset(scope, index_name, upstream=embeddings_name, group=GROUP, pool=INDEX_POOL)
    @scope.executed
    def index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of this table, valid and with the configured parameters.

        Vectors of texts that no row has any more are deleted first.
        """
        return materialize_index(context, scope, kind)

    @database_asset(scope, live_name, upstream=index_name, group=GROUP)
    @scope.executed
    def live(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space in which this table is searched.

        A space is promoted only after its checks have passed: complete, indexed, fast and exact enough.
        """
        return materialize_live_space(context, scope, kind, table="embeddings")

    return [embeddings, index, live]

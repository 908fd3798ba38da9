"""The assets of a table that another package registers: notes_embeddings, notes_index and live_notes for `notes`."""

import dagster as dg

from rag_assets.orchestration.assets.index import build_index, database_asset, serve
from rag_assets.orchestration.assets.policies import EMBEDDER_POOL, INDEX_POOL, RETRIES
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.stages.batches import EmbeddingBatches

GROUP = "tables"


def asset_names(kind: str) -> tuple[str, str, str]:
    """The names of the embeddings, the index and the live space of a registered table."""
    return f"{kind}_embeddings", f"{kind}_index", f"live_{kind}"


def table_assets(pipeline: Pipeline, kind: str) -> list[dg.AssetsDefinition]:
    embeddings_name, index_name, live_name = asset_names(kind)

    @dg.asset(
        key=pipeline.key(embeddings_name),
        io_manager_key=pipeline.tables_key,
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name=GROUP,
        kinds={"pytorch", "postgres"},
        pool=EMBEDDER_POOL,
        retry_policy=RETRIES,
    )
    def embeddings(context: dg.AssetExecutionContext) -> EmbeddingBatches:
        """Vectors of all rows of this table that are not deleted, in `rag.embeddings`.

        Only texts without a vector are embedded. A text longer than the model's window is embedded in pieces, and gets
        the mean of their vectors.
        """
        from rag_assets.pipeline import refresh

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        return EmbeddingBatches(
            refresh.table_embeddings(postgres.engine, postgres.settings, embedder.target(kind), embedder.encoder)
        )

    @database_asset(pipeline, index_name, of=embeddings_name, group=GROUP, pool=INDEX_POOL)
    def index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of this table, valid and with the configured parameters.

        Vectors of texts that no row has any more are deleted first.
        """
        return build_index(context, pipeline, kind)

    @database_asset(pipeline, live_name, of=index_name, group=GROUP)
    def live(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space in which this table is searched.

        A space is promoted only after its checks have passed: complete, indexed, fast and exact enough.
        """
        return serve(context, pipeline, kind, table="embeddings")

    return [embeddings, index, live]

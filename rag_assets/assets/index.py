"""hnsw_index and live_space: the index over the vectors, and the pointer that says which space is searched."""

from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.assets.policies import INDEX_POOL, RETRIES, fresh
from rag_assets.automation.conditions import FOLLOWS_PARTITIONS, FOLLOWS_UPSTREAM
from rag_assets.io.lineage import lineage_metadata
from rag_assets.io.metadata import table_metadata
from rag_assets.io.retrying import no_vain_retries
from rag_assets.pipeline import Pipeline
from rag_assets.progress import LogLines, listening

if TYPE_CHECKING:
    from rag_assets.db.texts import Kind


def hnsw_index(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("hnsw_index"),
        deps=[pipeline.key("embeddings")],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name="rag",
        kinds={"postgres"},
        pool=INDEX_POOL,
        retry_policy=RETRIES,
        automation_condition=FOLLOWS_PARTITIONS,
    )
    def hnsw_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of the space (HNSW or IVFFlat), valid and with the wanted parameters.

        Vectors that no chunk points to any more are removed first. An index that is missing, invalid, built with
        other parameters or mostly dead entries is built anew, without locking out searches where there are any.
        """
        return build_index(context, pipeline, "chunks")

    return hnsw_index


def live_space(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("live_space"),
        deps=[pipeline.key("hnsw_index")],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name="rag",
        kinds={"postgres"},
        retry_policy=RETRIES,
        automation_condition=FOLLOWS_UPSTREAM,
        freshness_policy=fresh(pipeline.settings),
    )
    def live_space(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space that searches use, and the view `rag.live_chunks` for the outside world.

        The pointer moves to the wanted space only when that one is proved: complete, indexed, fast and exact enough,
        and no worse at the judged questions of the projects. The space that served before is kept for a rollback.
        """
        return serve(context, pipeline, "chunks", table="live_chunks")

    return live_space


def build_index(context: dg.AssetExecutionContext, pipeline: Pipeline, kind: "Kind") -> dg.MaterializeResult[None]:
    """What the index of each kind of texts does."""
    from rag_assets.stages import refresh

    postgres, target = pipeline.postgres(context), pipeline.embedder(context).target(kind)
    with no_vain_retries(), listening(LogLines(context.log.info)):
        figures = refresh.index(postgres.engine, postgres.settings, target)
    table = table_metadata(postgres.engine.url.database or "", "embeddings")
    return dg.MaterializeResult(metadata={**table, **figures})


def serve(
    context: dg.AssetExecutionContext, pipeline: Pipeline, kind: "Kind", *, table: str
) -> dg.MaterializeResult[None]:
    """What the pointer of each kind of texts does."""
    from rag_assets.db.pools import pool_statistics
    from rag_assets.stages import refresh

    postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
    with no_vain_retries():
        figures = refresh.live(postgres.engine, postgres.settings, embedder.target(kind), embedder.encoder)
    shown = table_metadata(postgres.engine.url.database or "", table) | lineage_metadata(context.asset_key)
    return dg.MaterializeResult(metadata={**shown, **figures, **pool_statistics(postgres.engine).metadata()})

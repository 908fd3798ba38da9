"""hnsw_index and live_space: the index over the vectors, and the pointer that says which space is searched."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.orchestration.assets.conditions import FOLLOWS_PARTITIONS, FOLLOWS_UPSTREAM
from rag_assets.orchestration.assets.policies import INDEX_POOL, RETRIES, fresh
from rag_assets.orchestration.io.column_lineage import lineage_metadata
from rag_assets.orchestration.io.metadata import last_served, table_metadata
from rag_assets.orchestration.retries import no_vain_retries
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.progress import LogLines, listening

if TYPE_CHECKING:
    from rag_assets.db.spaces.text_kinds import Kind


def hnsw_index(pipeline: Pipeline) -> dg.AssetsDefinition:
    @database_asset(
        pipeline, "hnsw_index", of="embeddings", group="rag", pool=INDEX_POOL, automation_condition=FOLLOWS_PARTITIONS
    )
    def hnsw_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of the space (HNSW or IVFFlat), valid and with the wanted parameters.

        Vectors that no chunk points to any more are removed first. An index that is missing, invalid, built with
        other parameters or mostly dead entries is built anew, without locking out searches where there are any.
        """
        return build_index(context, pipeline, "chunks")

    return hnsw_index


def live_space(pipeline: Pipeline) -> dg.AssetsDefinition:
    @database_asset(
        pipeline,
        "live_space",
        of="hnsw_index",
        group="rag",
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


def database_asset(
    pipeline: Pipeline,
    name: str,
    *,
    of: str,
    group: str,
    pool: str | None = None,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    freshness_policy: dg.FreshnessPolicy | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult[None]]], dg.AssetsDefinition]:
    """An asset that stands for something in the database other than rows: `of` wrote those."""
    return dg.asset(
        key=pipeline.key(name),
        deps=[pipeline.key(of)],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name=group,
        kinds={"postgres"},
        retry_policy=RETRIES,
        pool=pool,
        automation_condition=automation_condition,
        freshness_policy=freshness_policy,
    )


def build_index(context: dg.AssetExecutionContext, pipeline: Pipeline, kind: "Kind") -> dg.MaterializeResult[None]:
    """What the index of each kind of texts does."""
    from rag_assets.pipeline import refresh

    postgres, target = pipeline.postgres(context), pipeline.embedder(context).target(kind)
    with no_vain_retries(), listening(LogLines(context.log.info)):
        figures = refresh.index(postgres.engine, postgres.settings, target)
    table = table_metadata(postgres.engine.url.database or "", "embeddings")
    return dg.MaterializeResult(metadata={**table, **figures})


def serve(
    context: dg.AssetExecutionContext, pipeline: Pipeline, kind: "Kind", *, table: str
) -> dg.MaterializeResult[None]:
    """What the pointer of each kind of texts does."""
    from rag_assets.db.connections.pool import pool_statistics
    from rag_assets.pipeline import refresh

    postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
    with no_vain_retries():
        figures = refresh.live(postgres.engine, postgres.settings, embedder.target(kind), embedder.encoder)
    other = figures.pop("instead_of", None)
    if other is not None and last_served(context.instance, context.asset_key).get("space") == figures["space"]:
        # This very asset had let the space serve, and never the one that it found in its place.
        figures["taken_back_from"] = other
        context.log.warning(
            "space %s had taken the place of space %s since the last run: another pipeline or command, with other "
            "settings, uses the same database; give each a database of its own, or both the same settings.",
            *(other, figures["space"]),
        )
    shown = table_metadata(postgres.engine.url.database or "", table) | lineage_metadata(context.asset_key)
    return dg.MaterializeResult(
        metadata={**shown, **figures, **pool_statistics(postgres.engine).metadata()},
        # By code versions alone, what is made of what is served would never be out of date.
        data_version=dg.DataVersion(context.run.run_id),
    )

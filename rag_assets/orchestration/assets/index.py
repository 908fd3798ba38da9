"""hnsw_index and live_space: the index over the vectors, and the pointer to the space that searches use."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from rag_assets.orchestration.assets.conditions import FOLLOWS_PARTITIONS, FOLLOWS_UPSTREAM
from rag_assets.orchestration.assets.policies import INDEX_POOL, RETRY_POLICY, freshness_policy
from rag_assets.orchestration.io.column_lineage import lineage_metadata
from rag_assets.orchestration.io.metadata import figures_metadata, last_promotion, table_metadata
from rag_assets.orchestration.retries import fail_without_retries, wait_for_lost_database
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.progress import ProgressLog, progress_listener

if TYPE_CHECKING:
    from rag_assets.db.spaces.text_kinds import Kind


def hnsw_index_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @database_asset(
        scope,
        "hnsw_index",
        upstream="embeddings",
        group="rag",
        pool=INDEX_POOL,
        automation_condition=FOLLOWS_PARTITIONS,
    )
    @scope.executed
    def hnsw_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The index over the vectors of the space (HNSW or IVFFlat), valid and with the wanted parameters.

        Vectors that no chunk points to any more are removed first. An index that is missing, invalid, has other
        parameters or consists mostly of dead entries is rebuilt, without blocking searches.
        """
        return materialize_index(context, scope, "chunks")

    return hnsw_index


def live_space_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @database_asset(
        scope,
        "live_space",
        upstream="hnsw_index",
        group="rag",
        automation_condition=FOLLOWS_UPSTREAM,
        freshness_policy=freshness_policy(scope.settings),
    )
    @scope.executed
    def live_space(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The embedding space that searches use, and the view `rag.live_chunks` for other clients.

        The wanted space is promoted only once it is proved: complete, indexed, fast and accurate enough, and no worse
        at the projects' evaluation queries. The space that was live before is kept for a rollback.
        """
        return materialize_live_space(context, scope, "chunks", table="live_chunks")

    return live_space


def database_asset(
    scope: PipelineScope,
    name: str,
    *,
    upstream: str,
    group: str,
    pool: str | None = None,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    freshness_policy: dg.FreshnessPolicy | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult[None]]], dg.AssetsDefinition]:
    """An asset for something in the database other than rows, which its `upstream` wrote."""
    return dg.asset(
        key=scope.key(name),
        deps=[scope.key(upstream)],
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        group_name=group,
        kinds={"postgres"},
        retry_policy=RETRY_POLICY,
        pool=pool,
        automation_condition=automation_condition,
        freshness_policy=freshness_policy,
    )


def materialize_index(
    context: dg.AssetExecutionContext, scope: PipelineScope, kind: "Kind"
) -> dg.MaterializeResult[None]:
    """The body of the index asset of each kind of texts."""
    from rag_assets.pipeline.stages.index import refresh_indexes

    postgres, target = scope.postgres(context), scope.embedder(context).target(kind)
    with (
        fail_without_retries(),
        wait_for_lost_database(postgres.engine),
        progress_listener(ProgressLog(context.log.info)),
    ):
        figures = refresh_indexes(postgres.engine, postgres.settings, target)
    table = table_metadata(postgres.engine.url.database or "", "embeddings")
    return dg.MaterializeResult(metadata={**table, **figures_metadata(figures)})


def materialize_live_space(
    context: dg.AssetExecutionContext, scope: PipelineScope, kind: "Kind", *, table: str
) -> dg.MaterializeResult[None]:
    """The body of the live-space asset of each kind of texts."""
    from rag_assets.db.connections.pool import pool_statistics
    from rag_assets.pipeline.stages.live_space import promote_wanted_space

    postgres, embedder = scope.postgres(context), scope.embedder(context)
    with fail_without_retries(), wait_for_lost_database(postgres.engine):
        figures = promote_wanted_space(postgres.engine, postgres.settings, embedder.target(kind), embedder.encoder)
    replaced = figures.pop("replaced_space", None)
    if replaced is not None and last_promotion(context.instance, context.asset_key).space == figures["space"]:
        # This asset promoted the space in its last run, and never the one that it found live now.
        figures["taken_back_from_space"] = replaced
        context.log.warning(
            "space %s had replaced space %s since the last run: another pipeline or command uses the same database "
            "with other settings; give each a database of its own, or both the same settings.",
            *(replaced, figures["space"]),
        )
    shown = table_metadata(postgres.engine.url.database or "", table) | lineage_metadata(context.asset_key, scope)
    return dg.MaterializeResult(
        metadata={**shown, **figures_metadata(figures | pool_statistics(postgres.engine).metadata())},
        # With code versions alone, assets downstream of the live space would never count as outdated.
        data_version=dg.DataVersion(context.run.run_id),
    )

"""raw_documents: the text of every document of a project's source."""

from functools import partial

import dagster as dg

from rag_assets.orchestration.assets.policies import RETRY_POLICY, freshness_policy, projects_backfill
from rag_assets.orchestration.assets.sources import SOURCES
from rag_assets.orchestration.partitions import BACKFILL, REQUESTED_TOGETHER, project_keys
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.stages.batches import BatchStream


class RefreshConfig(dg.Config):
    """Options of one run, off by default.

    `confirm_deletions` deletes documents even when most of them are no longer listed; `retry_failed` reads documents
    again that could not be read before.
    """

    confirm_deletions: bool = False
    retry_failed: bool = False


def document_deps(scope: PipelineScope) -> list[dg.AssetKey]:
    """The assets upstream of the documents: those whose rows they are, those that the user names, and the sources."""
    sources = [scope.key(SOURCES)] if scope.observes_sources else []
    return sorted({*(asset.key for _, asset in scope.upstream), *scope.deps, *sources})


def raw_documents_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @dg.asset(
        key=scope.key("raw_documents"),
        partitions_def=scope.projects,
        deps=document_deps(scope),
        io_manager_key=scope.tables_key,
        required_resource_keys={scope.postgres_key},
        group_name="rag",
        kinds={"python", "postgres"},
        retry_policy=RETRY_POLICY,
        freshness_policy=freshness_policy(scope.settings),
    )
    @scope.executed
    def raw_documents(context: dg.AssetExecutionContext, config: RefreshConfig) -> BatchStream:
        """The text of every document that the project's source lists, one row each in `rag.documents`.

        Only what differs is read: a file whose version in the source is unchanged is not opened, and one whose bytes
        are unchanged is not parsed. A document that cannot be read keeps its old text, and its row has the reason.
        """
        from rag_assets.orchestration.resources.upstream_assets import add_upstream_projects
        from rag_assets.pipeline.refresh import refresh_documents

        postgres = scope.postgres(context)
        add_upstream_projects(postgres.engine, scope.upstream)
        batches = refresh_documents(
            postgres.engine,
            postgres.settings,
            project_keys(context),
            confirm_deletions=config.confirm_deletions,
            retry_failed=config.retry_failed,
            sources={name: partial(asset.load, context) for name, asset in scope.upstream},
            run_id=context.run.root_run_id or context.run.run_id,
            backfill=context.run.tags.get(BACKFILL) or context.run.tags.get(REQUESTED_TOGETHER),
        )
        return BatchStream(batches)

    return raw_documents.with_attributes(backfill_policy=projects_backfill(scope.settings))

"""raw_documents: the text of every document of a source."""

import dagster as dg

from rag_assets.orchestration.assets.policies import ONE_RUN, RETRIES, fresh
from rag_assets.orchestration.partitions import project_keys
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.stages.batches import DocumentBatches


class RefreshConfig(dg.Config):
    """What one run may do differently from the others."""

    confirm_deletions: bool = False
    retry_failed: bool = False


def raw_documents(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("raw_documents"),
        partitions_def=pipeline.projects,
        io_manager_key=pipeline.tables_key,
        required_resource_keys={pipeline.postgres_key},
        group_name="rag",
        kinds={"python", "postgres"},
        retry_policy=RETRIES,
        freshness_policy=fresh(pipeline.settings),
    )
    def raw_documents(context: dg.AssetExecutionContext, config: RefreshConfig) -> DocumentBatches:
        """The text of every document that the project's source lists, one row a document in `rag.documents`.

        Only what differs is read: a file whose version in the source is unchanged is not even opened, one whose bytes
        are unchanged is not parsed. A document that cannot be read keeps its old text and says why.
        """
        from rag_assets.pipeline import refresh

        postgres = pipeline.postgres(context)
        return DocumentBatches(
            refresh.documents(
                postgres.engine,
                postgres.settings,
                project_keys(context),
                confirm_deletions=config.confirm_deletions,
                retry_failed=config.retry_failed,
            )
        )

    return raw_documents.with_attributes(backfill_policy=ONE_RUN)

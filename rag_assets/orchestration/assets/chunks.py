"""chunks: documents split to fit the window of the embedding model."""

import dagster as dg

from rag_assets.orchestration.assets.conditions import FOLLOWS_UPSTREAM
from rag_assets.orchestration.assets.policies import RETRY_POLICY, projects_backfill
from rag_assets.orchestration.io.tables import DocumentSlice
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.pipeline.stages.batches import BatchStream


def chunks_asset(scope: PipelineScope) -> dg.AssetsDefinition:
    @dg.asset(
        key=scope.key("chunks"),
        ins={"raw_documents": dg.AssetIn(scope.key("raw_documents"))},
        partitions_def=scope.projects,
        io_manager_key=scope.tables_key,
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        group_name="rag",
        kinds={"python", "postgres"},
        retry_policy=RETRY_POLICY,
        automation_condition=FOLLOWS_UPSTREAM,
    )
    @scope.executed
    def chunks(context: dg.AssetExecutionContext, raw_documents: DocumentSlice) -> BatchStream:
        """Pieces of the documents that fit the embedding model's window, in `rag.document_chunks`.

        Documents are split at headings, paragraphs and sentences, measured with the model's own tokenizer;
        `content[char_start:char_end]` is the chunk's text. Only documents whose text or chunking changed are split
        again.
        """
        from rag_assets.pipeline.refresh import refresh_chunks

        postgres, target = scope.postgres(context), scope.embedder(context).target()
        batches = refresh_chunks(postgres.engine, postgres.settings, raw_documents.projects, target, context.run.run_id)
        return BatchStream(batches)

    return chunks.with_attributes(backfill_policy=projects_backfill(scope.settings))

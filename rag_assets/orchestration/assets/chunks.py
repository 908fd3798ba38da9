"""chunks: documents cut to the window of the embedding model."""

import dagster as dg

from rag_assets.orchestration.assets.conditions import FOLLOWS_UPSTREAM
from rag_assets.orchestration.assets.policies import ONE_RUN, RETRIES
from rag_assets.orchestration.io.tables import Documents
from rag_assets.orchestration.scope import Pipeline
from rag_assets.pipeline.stages.batches import ChunkBatches


def chunks(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("chunks"),
        ins={"raw_documents": dg.AssetIn(pipeline.key("raw_documents"))},
        partitions_def=pipeline.projects,
        io_manager_key=pipeline.tables_key,
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        group_name="rag",
        kinds={"python", "postgres"},
        retry_policy=RETRIES,
        automation_condition=FOLLOWS_UPSTREAM,
    )
    def chunks(context: dg.AssetExecutionContext, raw_documents: Documents) -> ChunkBatches:
        """Pieces of the documents that fit the embedding model's window, in `rag.document_chunks`.

        Cut at headings, paragraphs and sentences by the model's own tokenizer; `content[char_start:char_end]` is the
        chunk's text. Only documents whose text or chunking changed are cut again.
        """
        from rag_assets.pipeline import refresh

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        return ChunkBatches(
            refresh.chunks(
                postgres.engine, postgres.settings, raw_documents.projects, embedder.target(), context.run.run_id
            )
        )

    return chunks.with_attributes(backfill_policy=ONE_RUN)

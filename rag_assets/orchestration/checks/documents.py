"""Checks of documents and chunks: everything was read, everything was cut, nothing was changed or lost."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.checks.results import evaluate, projects_of
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.pipeline.audit.result import Finding


def document_checks(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=pipeline.name("document_checks"),
        specs=[
            dg.AssetCheckSpec(
                "documents_readable",
                asset=pipeline.key("raw_documents"),
                description="Every document of the source could be read. When it warns: `rag-assets status` lists the "
                "documents with their reasons; mend or exclude them, then ingest again (with --retry-failed where the "
                "file itself is right).",
            ),
            dg.AssetCheckSpec(
                "documents_have_chunks",
                asset=pipeline.key("chunks"),
                description="Every document with text has chunks of the text that it has now. When it fails: "
                "materialize chunks for the projects named in the examples, or run `rag-assets repair` where rows were "
                "deleted behind the pipeline's back.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                "offsets_reproduce_text",
                asset=pipeline.key("chunks"),
                description="content[char_start:char_end] is the chunk's text, and hashes are those of their texts. "
                "When it fails, rows were changed behind the pipeline's back: `rag-assets repair` reads and cuts them "
                "again.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                "chunks_fit_window",
                asset=pipeline.key("chunks"),
                description="No chunk is longer than what the model sees, so nothing is cut off silently. When it "
                "fails: set RAG_ASSETS_CHUNK_TOKENS to the threshold or less, then materialize chunks.",
                blocking=True,
            ),
        ],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        can_subset=True,
    )
    def document_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.embedding.model import find_model
        from rag_assets.pipeline.audit import documents
        from rag_assets.pipeline.target.chunking import tokenizer_of
        from rag_assets.pipeline.target.wanted_space import checked_space

        engine, embedder = pipeline.postgres(context).engine, pipeline.embedder(context)
        projects = projects_of(context, pipeline)

        # Documents can be looked at before there is a space.
        @cache
        def space() -> "EmbeddingSpace":
            return checked_space(engine, embedder.target().definition)

        def fit() -> "Finding":
            tokenizer = tokenizer_of(find_model(space().model, space().revision))
            return documents.chunks_fit_window(engine, space().chunking, tokenizer, space().max_tokens)

        yield from evaluate(
            context,
            {
                "documents_readable": lambda: documents.documents_readable(engine, projects),
                "documents_have_chunks": lambda: documents.documents_have_chunks(engine, space().chunking, projects),
                "offsets_reproduce_text": lambda: documents.offsets_reproduce_text(engine, space().chunking, projects),
                "chunks_fit_window": fit,
            },
            severity={"documents_readable": dg.AssetCheckSeverity.WARN},
        )

    return document_checks

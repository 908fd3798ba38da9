"""Checks of documents and chunks: everything was read and split, and nothing was changed or lost."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.orchestration.checks.results import (
    projects_to_check,
    repeat_when_connections_break,
    rows_to_read,
    run_checks,
)
from rag_assets.orchestration.scope import PipelineScope

if TYPE_CHECKING:
    from rag_assets.documents.personal_data.step import PersonalDataStep
    from rag_assets.pipeline.audit.incremental import RowChecks
    from rag_assets.pipeline.audit.result import CheckResult


def document_checks(scope: PipelineScope) -> dg.AssetChecksDefinition:
    is_private = scope.settings.personal_data != "keep"

    @dg.multi_asset_check(
        name=scope.name("document_checks"),
        specs=[
            dg.AssetCheckSpec(
                "documents_readable",
                asset=scope.key("raw_documents"),
                description="Every document of the source could be read, as a whole, and its characters decoded. When "
                "it warns: `rag-assets status` lists the documents with their reasons; fix or exclude them, install "
                "the extra `ocr` where pages are pictures, save those with characters replaced by U+FFFD as UTF-8, "
                "then ingest again (with --retry-failed where the file itself is right).",
            ),
            dg.AssetCheckSpec(
                "documents_have_chunks",
                asset=scope.key("chunks"),
                description="Every document with text has all chunks of its current text. When it fails: materialize "
                "chunks for the projects named in the examples, or run `rag-assets repair` if rows were deleted "
                "outside the pipeline.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                "offsets_reproduce_text",
                asset=scope.key("chunks"),
                description="content[char_start:char_end] is the chunk's text, and the stored hashes match the texts. "
                "When it fails: rows were changed outside the pipeline; run `rag-assets repair`, which reads and "
                "splits those documents again.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                "chunks_fit_window",
                asset=scope.key("chunks"),
                description="No chunk is longer than the model's window, so the model never ignores the end of one. "
                "When it fails: set RAG_ASSETS_CHUNK_TOKENS to the threshold or less, then materialize chunks.",
                blocking=True,
            ),
            dg.AssetCheckSpec(
                "model_knows_alphabet",
                asset=scope.key("chunks"),
                description="The model's tokenizer knows the letters of every document. When it warns: vector search "
                "cannot find the documents named, since the model sees no words in them; take a multilingual model, or "
                "one of their language, by RAG_ASSETS_MODEL, and ingest again.",
            ),
            *([_no_personal_data(scope)] if is_private else ()),
        ],
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        can_subset=True,
    )
    @repeat_when_connections_break
    def document_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.embedding.model import find_space_model
        from rag_assets.pipeline.audit import documents
        from rag_assets.pipeline.audit.incremental import RowChecks
        from rag_assets.pipeline.audit.personal_data import no_personal_data
        from rag_assets.pipeline.stages.documents.stage import personal_data_step
        from rag_assets.pipeline.target.chunking import model_tokenizer
        from rag_assets.pipeline.target.wanted_space import space_to_check

        engine, embedder = scope.postgres(context).engine, scope.embedder(context)
        projects = projects_to_check(context, scope)

        # Only when a check asks for it: documents can be checked before there is a space.
        @cache
        def rows() -> "RowChecks":
            return RowChecks(rows_to_read(context, scope), space_to_check(engine, embedder.target().definition))

        def step() -> "PersonalDataStep":
            return personal_data_step(scope.settings)

        def chunks_fit_window() -> "CheckResult":
            return rows().chunks_fit_window(model_tokenizer(find_space_model(rows().space)))

        yield from run_checks(
            context,
            {
                "documents_readable": lambda: documents.documents_readable(engine, projects),
                "documents_have_chunks": lambda: rows().documents_have_chunks(projects),
                "offsets_reproduce_text": lambda: rows().offsets_reproduce_text(projects),
                "chunks_fit_window": chunks_fit_window,
                "model_knows_alphabet": lambda: documents.model_knows_alphabet(
                    engine, rows().space.chunking, rows().space.model, projects
                ),
                **({"no_personal_data": lambda: no_personal_data(engine, step(), projects)} if is_private else {}),
            },
            severity=dict.fromkeys(("documents_readable", "model_knows_alphabet"), dg.AssetCheckSeverity.WARN),
        )

    return document_checks


def _no_personal_data(scope: PipelineScope) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        "no_personal_data",
        asset=scope.key("raw_documents"),
        description="No document holds personal data of the kinds in RAG_ASSETS_PERSONAL_DATA_KINDS. When it fails: "
        "ingest again, which redacts or refuses what was read before the setting, exclude the documents named, or "
        "remove them with `rag-assets forget`.",
        blocking=True,
    )

"""Checks of vectors, index and live space; those of vectors and index are the same for each kind of texts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.db.spaces.registered_tables import is_registered
from rag_assets.orchestration.checks.results import (
    nothing_to_check,
    only_project,
    projects_to_check,
    repeat_when_connections_break,
    rows_to_read,
    run_checks,
)
from rag_assets.orchestration.checks.run_times import expected_texts, last_run_time
from rag_assets.orchestration.io.metadata import last_promotion
from rag_assets.orchestration.scope import PipelineScope

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.pipeline.audit.result import CheckResult
    from rag_assets.search.retriever import Retriever


@dataclass(frozen=True, slots=True)
class TextKindChecks:
    """A kind of texts, its assets, and the prefix of its checks' names, which those of chunks do not have."""

    kind: "Kind"
    embeddings: str
    index: str
    text: str
    prefix: str = ""

    def spec(self, name: str, asset: dg.AssetKey, description: str) -> dg.AssetCheckSpec:
        filled = description.format(text=self.text, embeddings=self.embeddings, index=self.index)
        return dg.AssetCheckSpec(f"{self.prefix}{name}", asset=asset, description=filled, blocking=True)


CHUNKS = TextKindChecks("chunks", "embeddings", "hnsw_index", "chunk")
MESSAGES = TextKindChecks("messages", "message_embeddings", "message_index", "message", "message_")
MEMORIES = TextKindChecks("memories", "memory_embeddings", "memory_index", "memory", "memory_")


def checks_of_table(kind: str) -> TextKindChecks:
    """The checks of a registered table."""
    return TextKindChecks(kind, f"{kind}_embeddings", f"{kind}_index", "row", f"{kind}_")


def embeddings_checks(scope: PipelineScope, of: TextKindChecks) -> dg.AssetChecksDefinition:
    asset = scope.key(of.embeddings)

    @dg.multi_asset_check(
        name=scope.name(f"{of.embeddings}_checks"),
        specs=[
            of.spec(
                "texts_have_vectors",
                asset,
                "Every distinct {text} text has exactly one vector. When it fails: materialize {embeddings}; texts "
                "that the model refuses are listed under set_aside, with the reason. It warns where a server refuses "
                "some of them, and while texts wait in batches at a server.",
            ),
            of.spec(
                "vectors_are_sound",
                asset,
                "Every vector has the right dimensions, no NaN, is not zero, has length 1 where the space normalizes, "
                "and is still the one that was stored for its text. When it fails: run `rag-assets repair`, which "
                "deletes the wrong vectors and embeds their texts again.",
            ),
        ],
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        can_subset=True,
    )
    @repeat_when_connections_break
    def embeddings_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import vectors
        from rag_assets.pipeline.audit.incremental import RowChecks

        postgres = scope.postgres(context)
        engine = postgres.engine
        space = _space_to_check(of, engine, scope.embedder(context))
        if space is None:
            yield from nothing_to_check(context, f"no {of.text} was ever embedded")
            return
        rows = RowChecks(rows_to_read(context, scope), space)

        def texts_have_vectors() -> "CheckResult":
            if of.kind == "chunks":
                return rows.chunks_have_vectors(projects_to_check(context, scope))
            expected = expected_texts(context, of.kind, asset, postgres.settings.messages_since)
            return vectors.texts_have_vectors(engine, space, expected=expected)

        yield from run_checks(
            context,
            {"texts_have_vectors": texts_have_vectors, "vectors_are_sound": rows.vectors_are_sound},
            prefix=of.prefix,
        )

    return embeddings_checks


def index_checks(scope: PipelineScope, of: TextKindChecks) -> dg.AssetChecksDefinition:
    asset = scope.key(of.index)

    @dg.multi_asset_check(
        name=scope.name(f"{of.index}_checks"),
        specs=[
            of.spec(
                "no_orphan_vectors",
                asset,
                "Every vector belongs to a {text}. When it fails: materialize {index}, which removes the orphans.",
            ),
            of.spec(
                "index_valid",
                asset,
                "The index exists, is valid, and has the wanted operator class and parameters. When it fails: "
                "materialize {index}, which rebuilds it.",
            ),
            of.spec(
                "index_used",
                asset,
                "EXPLAIN of the statement that searches send shows the index (in a small table, where a scan is "
                "cheaper: that it can be used), and the index scan continues past its first candidates, which "
                "filtered searches need. When it fails: materialize {index}, then run ANALYZE.",
            ),
            of.spec(
                "search_latency",
                asset,
                "The p95 of a search over at least 10,000 vectors is under the threshold (a smaller space is topped up "
                "with neighbours of its own vectors). When it fails: look at the server's load and memory, lower "
                "RAG_ASSETS_EF_SEARCH, or set RAG_ASSETS_INDEX_STORAGE=halfvec.",
            ),
            of.spec(
                "recall_at_10",
                asset,
                "The index finds the threshold's share of the ten nearest vectors of an exact scan, and searches "
                "consider at least the number of candidates that was measured to suffice. When it fails: run "
                "`rag-assets tune`, raise RAG_ASSETS_EF_SEARCH, or raise RAG_ASSETS_HNSW_M and "
                "RAG_ASSETS_HNSW_EF_CONSTRUCTION and materialize {index}.",
            ),
        ],
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        can_subset=True,
    )
    @repeat_when_connections_break
    def index_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import index
        from rag_assets.pipeline.audit.incremental import RowChecks

        postgres = scope.postgres(context)
        engine, settings = postgres.engine, postgres.settings
        space = _space_to_check(of, engine, scope.embedder(context))
        if space is None:
            yield from nothing_to_check(context, f"no {of.text} was ever embedded")
            return
        rows = RowChecks(rows_to_read(context, scope), space)
        at = None if of.kind == "chunks" else last_run_time(context, asset)
        yield from run_checks(
            context,
            {
                "no_orphan_vectors": lambda: rows.no_orphan_vectors(at),
                "index_valid": lambda: index.index_valid(engine, space),
                "index_used": lambda: index.index_used(engine, space),
                "search_latency": lambda: rows.search_latency(settings),
                "recall_at_10": lambda: rows.recall_at_10(settings),
            },
            # Applications change and delete rows of their tables between runs; the next run removes the orphans.
            severity={f"{of.prefix}no_orphan_vectors": dg.AssetCheckSeverity.WARN} if is_registered(of.kind) else None,
            prefix=of.prefix,
        )

    return index_checks


def _space_to_check(of: TextKindChecks, engine: "Engine", embedder: "Embedder") -> "EmbeddingSpace | None":
    """None when no message or no memory was ever embedded, which is fine; without chunks, raises ServiceError."""
    from rag_assets.pipeline.target.wanted_space import current_space, space_to_check

    find = space_to_check if of.kind == "chunks" else current_space
    return find(engine, embedder.target(of.kind).definition)


def live_space_checks(scope: PipelineScope) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=scope.name("live_space_checks"),
        specs=[
            dg.AssetCheckSpec(
                "serves_wanted_space",
                asset=scope.key("live_space"),
                description="Searches use the space that the settings ask for, and rag.live_chunks shows all of its "
                "chunks. When it fails: materialize everything; the promotion waits for the checks of embeddings and "
                "hnsw_index.",
            ),
            dg.AssetCheckSpec(
                "settings_agree",
                asset=scope.key("live_space"),
                description="No pipeline with other settings promotes its own space in the same database. When it "
                "warns: another pipeline, or a command with other settings, uses this database, and every run of one "
                "undoes the promotion of the other; give each a database of its own, or both the same settings, then "
                "materialize live_space.",
            ),
            dg.AssetCheckSpec(
                "search_quality",
                asset=scope.key("live_space"),
                description="Searches reach the thresholds of the projects that have evaluation queries (`rag-assets "
                "ingest --questions FILE --threshold ndcg@10=0.7`). When it fails: look at worst_queries, and compare "
                "the search modes with `rag-assets evaluate`, before you change chunks or model.",
            ),
        ],
        required_resource_keys={scope.postgres_key, scope.embedder_key},
        can_subset=True,
    )
    @repeat_when_connections_break
    def live_space_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.db.spaces.spaces import get_live_space
        from rag_assets.pipeline.audit import promotion, search_quality
        from rag_assets.pipeline.audit.incremental import RowChecks

        postgres, embedder = scope.postgres(context), scope.embedder(context)
        engine, ef_search = postgres.engine, postgres.settings.ef_search
        wanted = embedder.target().definition.fingerprint
        last = last_promotion(context.instance, scope.key("live_space"))

        def retriever() -> "Retriever":
            from rag_assets.search.retriever import Retriever

            return Retriever(engine, ef_search=ef_search, encoder=embedder.encoder)

        def serves_wanted_space() -> "CheckResult":
            with engine.connect() as connection:
                live = get_live_space(connection)
            if live is None:
                return promotion.serves_wanted_space(engine, wanted)
            return RowChecks(rows_to_read(context, scope), live).serves_wanted_space(wanted)

        yield from run_checks(
            context,
            {
                "serves_wanted_space": serves_wanted_space,
                "settings_agree": lambda: promotion.settings_agree(
                    engine, wanted, last.space, last.taken_back_from_space
                ),
                "search_quality": lambda: search_quality.search_quality(
                    engine, retriever, only_project(context, scope)
                ),
            },
            severity={"settings_agree": dg.AssetCheckSeverity.WARN},
        )

    return live_space_checks

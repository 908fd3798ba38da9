"""Checks of vectors and index, the same of each kind of texts: complete, sound, valid, used, fast, exact enough."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from rag_assets.db.spaces.registered_tables import is_registered
from rag_assets.orchestration.checks.results import evaluate, nothing_to_check, project_of, projects_of
from rag_assets.orchestration.checks.run_times import due_texts, last_run_began
from rag_assets.orchestration.io.metadata import last_served
from rag_assets.orchestration.scope import Pipeline

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.text_kinds import Kind
    from rag_assets.orchestration.resources.embedder import Embedder
    from rag_assets.search.retriever import Retriever


@dataclass(frozen=True, slots=True)
class Checked:
    """A kind of texts, its assets, and what its checks are called by: those of chunks by their plain names."""

    kind: "Kind"
    embeddings: str
    index: str
    text: str
    prefix: str = ""

    def spec(self, name: str, asset: dg.AssetKey, description: str) -> dg.AssetCheckSpec:
        said = description.format(text=self.text, embeddings=self.embeddings, index=self.index)
        return dg.AssetCheckSpec(f"{self.prefix}{name}", asset=asset, description=said, blocking=True)


CHUNKS = Checked("chunks", "embeddings", "hnsw_index", "chunk")
MESSAGES = Checked("messages", "message_embeddings", "message_index", "message", "message_")
MEMORIES = Checked("memories", "memory_embeddings", "memory_index", "memory", "memory_")


def checks_of_table(kind: str) -> Checked:
    """The checks of a registered table."""
    return Checked(kind, f"{kind}_embeddings", f"{kind}_index", "row", f"{kind}_")


def embeddings_checks(pipeline: Pipeline, checked: Checked) -> dg.AssetChecksDefinition:
    asset = pipeline.key(checked.embeddings)

    @dg.multi_asset_check(
        name=pipeline.name(f"{checked.embeddings}_checks"),
        specs=[
            checked.spec(
                "texts_have_vectors",
                asset,
                "Every distinct {text} text has exactly one vector. When it fails: materialize {embeddings}; texts "
                "that the model refuses are listed as set aside, with the reason.",
            ),
            checked.spec(
                "vectors_are_sound",
                asset,
                "Right dimensions, no NaN, none zero, length 1 where the space normalizes, and each still the one that "
                "was stored for its text. When it fails: `rag-assets repair` makes those vectors anew.",
            ),
        ],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        can_subset=True,
    )
    def embeddings_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import vectors
        from rag_assets.pipeline.audit.expected_texts import of_projects

        postgres = pipeline.postgres(context)
        engine = postgres.engine
        space = _space(checked, engine, pipeline.embedder(context))
        if space is None:
            yield from nothing_to_check(context, f"no {checked.text} was ever embedded")
            return
        if checked.kind == "chunks":
            due = of_projects(projects_of(context, pipeline))
        else:
            due = due_texts(context, checked.kind, asset, postgres.settings.messages_since)
        yield from evaluate(
            context,
            {
                "texts_have_vectors": lambda: vectors.texts_have_vectors(engine, space, due=due),
                "vectors_are_sound": lambda: vectors.vectors_are_sound(engine, space),
            },
            prefix=checked.prefix,
        )

    return embeddings_checks


def index_checks(pipeline: Pipeline, checked: Checked) -> dg.AssetChecksDefinition:
    asset = pipeline.key(checked.index)

    @dg.multi_asset_check(
        name=pipeline.name(f"{checked.index}_checks"),
        specs=[
            checked.spec(
                "no_orphan_vectors",
                asset,
                "No vector is left that no {text} points to. When it fails: materialize {index}, which removes them.",
            ),
            checked.spec(
                "index_valid",
                asset,
                "The index is there, valid, and has the wanted operator class and parameters. When it fails: "
                "materialize {index}, which builds it anew.",
            ),
            checked.spec(
                "index_used",
                asset,
                "EXPLAIN of the statement that searches send shows the index (in a small table, where a scan is "
                "cheaper: that it can), and the scan goes on past its first candidates. When it fails: materialize "
                "{index}, then run ANALYZE.",
            ),
            checked.spec(
                "search_latency",
                asset,
                "p95 of a search is under the threshold at 10,000 vectors or more (a smaller space is topped up with "
                "neighbours of its own vectors). When it fails: look at the server's load and memory, lower "
                "RAG_ASSETS_EF_SEARCH, or set RAG_ASSETS_INDEX_STORAGE=halfvec.",
            ),
            checked.spec(
                "recall_at_10",
                asset,
                "The share of the ten nearest vectors of an exact scan that the index finds, with no fewer candidates "
                "than were measured to suffice. When it fails: run `rag-assets tune`, raise "
                "RAG_ASSETS_EF_SEARCH, or RAG_ASSETS_HNSW_M and RAG_ASSETS_HNSW_EF_CONSTRUCTION and materialize "
                "{index}.",
            ),
        ],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        can_subset=True,
    )
    def index_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import index, vectors

        postgres = pipeline.postgres(context)
        engine, settings = postgres.engine, postgres.settings
        space = _space(checked, engine, pipeline.embedder(context))
        if space is None:
            yield from nothing_to_check(context, f"no {checked.text} was ever embedded")
            return
        at = None if checked.kind == "chunks" else last_run_began(context, asset)
        yield from evaluate(
            context,
            {
                "no_orphan_vectors": lambda: vectors.no_orphan_vectors(engine, space, at=at),
                "index_valid": lambda: index.index_valid(engine, space),
                "index_used": lambda: index.index_used(engine, space),
                "search_latency": lambda: index.search_latency(engine, space, settings),
                "recall_at_10": lambda: index.recall_at_10(engine, space, settings),
            },
            # Applications delete and change rows of their tables between runs, which leaves vectors until the next run.
            severity={f"{checked.prefix}no_orphan_vectors": dg.AssetCheckSeverity.WARN}
            if is_registered(checked.kind)
            else None,
            prefix=checked.prefix,
        )

    return index_checks


def _space(checked: Checked, engine: "Engine", embedder: "Embedder") -> "EmbeddingSpace | None":
    """None where nothing was ever embedded of messages or memories: an installation may have none."""
    from rag_assets.pipeline.target.wanted_space import begun_space, checked_space

    if checked.kind == "chunks":
        return checked_space(engine, embedder.target().definition)
    return begun_space(engine, embedder.target(checked.kind).definition)


def live_space_checks(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=pipeline.name("live_space_checks"),
        specs=[
            dg.AssetCheckSpec(
                "serves_wanted_space",
                asset=pipeline.key("live_space"),
                description="Searches use the space that the settings ask for, and rag.live_chunks shows every chunk "
                "of it. When it fails: materialize everything; the flip waits for the checks of embeddings and "
                "hnsw_index.",
            ),
            dg.AssetCheckSpec(
                "settings_agree",
                asset=pipeline.key("live_space"),
                description="Nobody with other settings lets another space serve in the same database. When it warns: "
                "another pipeline, or a command with other settings, uses this database, and each takes the pointer "
                "from the other at every run; give each a database of its own, or both the same settings, then "
                "materialize live_space.",
            ),
            dg.AssetCheckSpec(
                "search_quality",
                asset=pipeline.key("live_space"),
                description="Searches answer the judged questions of the projects that have some (`rag-assets ingest "
                "--questions FILE --threshold ndcg@10=0.7`) as well as their thresholds ask. When it fails: look at "
                "the questions lost worst, and compare with `rag-assets evaluate`, by mode, before you change chunks "
                "or model.",
            ),
        ],
        required_resource_keys={pipeline.postgres_key, pipeline.embedder_key},
        can_subset=True,
    )
    def live_space_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from rag_assets.pipeline.audit import promotion, search_quality

        postgres, embedder = pipeline.postgres(context), pipeline.embedder(context)
        engine, ef_search = postgres.engine, postgres.settings.ef_search
        wanted = embedder.target().definition.fingerprint
        last = last_served(context.instance, pipeline.key("live_space"))

        def retriever() -> "Retriever":
            from rag_assets.search.retriever import Retriever

            return Retriever(engine, ef_search=ef_search, encoder=embedder.encoder)

        yield from evaluate(
            context,
            {
                "serves_wanted_space": lambda: promotion.serves_wanted_space(engine, wanted),
                "settings_agree": lambda: promotion.settings_agree(
                    engine, wanted, last.get("space"), last.get("taken_back_from")
                ),
                "search_quality": lambda: search_quality.search_quality(
                    engine, retriever, project_of(context, pipeline)
                ),
            },
            severity={"settings_agree": dg.AssetCheckSeverity.WARN},
        )

    return live_space_checks

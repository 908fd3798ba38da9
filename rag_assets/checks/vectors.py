"""Checks of vectors and index: complete, sound, valid, used, fast, exact enough; they guard the flip."""

from collections.abc import Iterator

import dagster as dg

from rag_assets.checks.results import evaluate, project_of
from rag_assets.resources.embedder import Embedder
from rag_assets.resources.postgres import Postgres


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "texts_have_vectors",
            asset="embeddings",
            description="Every distinct chunk text has exactly one vector. When it fails: materialize embeddings; "
            "texts that the model refuses are listed as set aside, with the reason.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            "vectors_are_sound",
            asset="embeddings",
            description="Right dimensions, no NaN, none zero, length 1 where the space normalizes. When it fails: "
            "delete the unsound rows of rag.embeddings, then materialize embeddings.",
            blocking=True,
        ),
    ],
    can_subset=True,
)
def embeddings_checks(
    context: dg.AssetCheckExecutionContext, postgres: Postgres, embedder: Embedder
) -> Iterator[dg.AssetCheckResult]:
    from rag_assets.audit import vectors
    from rag_assets.stages.target import checked_space

    engine = postgres.engine
    space = checked_space(engine, embedder.target().definition)
    yield from evaluate(
        context,
        {
            "texts_have_vectors": lambda: vectors.texts_have_vectors(engine, space, project_of(context)),
            "vectors_are_sound": lambda: vectors.vectors_are_sound(engine, space),
        },
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "no_orphan_vectors",
            asset="hnsw_index",
            description="No vector is left that no chunk points to. When it fails: materialize hnsw_index, which "
            "removes them.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            "index_valid",
            asset="hnsw_index",
            description="The index is there, valid, and has the wanted operator class and parameters. When it "
            "fails: materialize hnsw_index, which builds it anew.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            "index_used",
            asset="hnsw_index",
            description="EXPLAIN of the statement that searches send shows the index (in a small table, where a "
            "scan is cheaper: that it can). When it fails: materialize hnsw_index, then run ANALYZE.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            "search_latency",
            asset="hnsw_index",
            description="p95 of a search is under the threshold at 10,000 vectors or more (a smaller space is "
            "topped up with neighbours of its own vectors). When it fails: look at the server's load and memory, "
            "lower RAG_ASSETS_EF_SEARCH, or set RAG_ASSETS_INDEX_STORAGE=halfvec.",
            blocking=True,
        ),
        dg.AssetCheckSpec(
            "recall_at_10",
            asset="hnsw_index",
            description="The share of the ten nearest vectors of an exact scan that the index finds. When it fails: "
            "raise RAG_ASSETS_EF_SEARCH, or RAG_ASSETS_HNSW_M and RAG_ASSETS_HNSW_EF_CONSTRUCTION and materialize "
            "hnsw_index.",
            blocking=True,
        ),
    ],
    can_subset=True,
)
def hnsw_index_checks(
    context: dg.AssetCheckExecutionContext, postgres: Postgres, embedder: Embedder
) -> Iterator[dg.AssetCheckResult]:
    from rag_assets.audit import vectors
    from rag_assets.stages.target import checked_space

    engine, settings = postgres.engine, postgres.settings
    space = checked_space(engine, embedder.target().definition)
    yield from evaluate(
        context,
        {
            "no_orphan_vectors": lambda: vectors.no_orphan_vectors(engine, space),
            "index_valid": lambda: vectors.index_valid(engine, space),
            "index_used": lambda: vectors.index_used(engine, space),
            "search_latency": lambda: vectors.search_latency(engine, space, settings),
            "recall_at_10": lambda: vectors.recall_at_10(engine, space, settings),
        },
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "serves_wanted_space",
            asset="live_space",
            description="Searches use the space that the settings ask for, and rag.live_chunks shows every chunk of "
            "it. When it fails: materialize everything; the flip waits for the checks of embeddings and hnsw_index.",
        ),
        dg.AssetCheckSpec(
            "search_quality",
            asset="live_space",
            description="Searches answer the judged questions of the projects that have some (`rag-assets ingest "
            "--questions FILE --threshold ndcg@10=0.7`) as well as their thresholds ask. When it fails: look at the "
            "questions lost worst, and compare with `rag-assets evaluate`, by mode, before you change chunks or model.",
        ),
    ],
    can_subset=True,
)
def live_space_checks(
    context: dg.AssetCheckExecutionContext, postgres: Postgres, embedder: Embedder
) -> Iterator[dg.AssetCheckResult]:
    from rag_assets.audit import quality, vectors
    from rag_assets.search.retriever import Retriever

    engine, ef_search = postgres.engine, postgres.settings.ef_search
    wanted = embedder.target().definition.fingerprint
    retriever = Retriever(engine, ef_search=ef_search, encoder=embedder.encoder)
    yield from evaluate(
        context,
        {
            "serves_wanted_space": lambda: vectors.serves_wanted_space(engine, wanted),
            "search_quality": lambda: quality.search_quality(engine, retriever, project_of(context)),
        },
    )

"""A code location of a team, with two pipelines and an asset of the team."""

from pathlib import Path

import dagster as dg

from rag_assets import Settings, build_definitions
from shop.embedding import WordEmbedder

STATE = Path(__file__).parents[1] / "state"


@dg.asset
def orders() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"orders": 3})


defs = dg.Definitions.merge(
    dg.Definitions(assets=[orders]),
    build_definitions(
        key_prefix="docs",
        group_name="search",
        settings=Settings(state_dir=STATE / "docs", latency_limit_ms=10_000),
        resources={"embedder": WordEmbedder()},
    ),
    build_definitions(
        key_prefix="notes",
        settings={"state_dir": STATE / "notes", "latency_limit_ms": 10_000, "chunk_tokens": 40},
        resources={"embedder": WordEmbedder()},
    ),
)

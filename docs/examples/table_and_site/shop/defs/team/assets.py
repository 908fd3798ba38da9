"""Assets of the team, before and after the search's."""

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg

DATABASE = Path(__file__).parents[3] / "shop.db"
PRODUCTS = [
    (7, "Lamp", "A lamp for the desk, of brass.", 40.0),
    (8, "Chair", "A chair of oak that folds.", 95.0),
]


@dg.asset(key_prefix="shop")
def products() -> dg.MaterializeResult[None]:
    """The table of products, as another system would write it."""
    with sqlite3.connect(DATABASE) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name, body, price)")
        connection.executemany("INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?)", PRODUCTS)
    return dg.MaterializeResult(metadata={"products": len(PRODUCTS)})


@dg.asset(
    key_prefix="shop",
    partitions_def=dg.DynamicPartitionsDefinition(name="search_projects"),
    ins={"chunks": dg.AssetIn(["search", "chunks"])},
    deps=[["search", "live_space"]],
    # As the assets upstream of it: one run for any number of projects.
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def chunk_sizes(chunks: Any) -> dg.MaterializeResult[None]:
    """How long the chunks of a project are, in tokens."""
    tokens = [row["token_count"] for row in chunks]
    return dg.MaterializeResult(metadata={"chunks": len(tokens), "longest": max(tokens, default=0)})


everything = dg.define_asset_job("everything", dg.AssetSelection.assets(chunk_sizes).upstream())

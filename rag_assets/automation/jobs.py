"""The jobs: everything for one project or several, and the checks alone."""

import dagster as dg

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.all(),
    description="Bring documents, chunks, vectors, index and the live space up to date, and check them.",
)

checks = dg.define_asset_job(
    "checks",
    selection=dg.AssetSelection.all_asset_checks(),
    description="Run all checks; materialize nothing.",
)

"""Backfills as the UI launches them: one run, and the truth about every partition of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.launch.servers import Server, serving
from tests.running import add_project, rows
from tests.stages.stepping import write

pytestmark = pytest.mark.slow

PROJECTS = ["alpha", "broken", "gamma", "zoo"]


@pytest.fixture
def ui(two: Engine, tmp_path: Path) -> Iterator[Server]:
    """Four projects, of which the source of one is away."""
    write(tmp_path / "gamma" / "a.md", "The text of gamma.")
    write(tmp_path / "away" / "a.md", "The text of nobody.")
    (tmp_path / "broken").mkdir()
    add_project(two, "broken", tmp_path / "broken")
    add_project(two, "gamma", tmp_path / "gamma")
    (tmp_path / "broken").rmdir()
    with serving(("dagster", "dev"), tmp_path / "server.log") as ui:
        yield ui


def test_the_page_of_a_backfill_tells_which_project_failed(ui: Server, two: Engine) -> None:
    """Of three partitions, not next to each other, and of all that follows them."""
    assets = ["raw_documents", "chunks", "embeddings", "hnsw_index", "live_space"]
    chosen = ["alpha", "broken", "zoo"]
    found = ui.backfill(assetSelection=[{"path": [name]} for name in assets], partitionNames=chosen)
    assert found["status"] == "COMPLETED_FAILED", found
    shown = {status["assetKey"]["path"][0]: status for status in found["assetBackfillData"]["assetBackfillStatuses"]}
    for name in assets[:3]:
        assert (shown[name]["numPartitionsMaterialized"], shown[name]["numPartitionsFailed"]) == (2, 1), shown
        assert ui.partitions(name) == {"materialized": ["alpha", "zoo"], "failed": ["broken"]}
    # What follows a partition that failed is not begun, as Dagster does it; the next run serves the others.
    for name in assets[3:]:
        assert (shown[name]["materialized"], shown[name]["failed"]) == (False, True)
    assert ui.ended(ui.launch(assets[3:])) == "SUCCESS", ui.told()
    assert rows(two, "SELECT DISTINCT project FROM rag.live_chunks ORDER BY 1") == [("alpha",), ("zoo",)]


def test_a_backfill_of_a_range_is_one_run(ui: Server, two: Engine) -> None:
    # As Dagster has them: in the order in which they were added.
    ranged = {"start": "alpha", "end": "zoo"}
    by_assets = [
        {"assetKey": {"path": [name]}, "partitions": {"range": ranged}} for name in ("raw_documents", "chunks")
    ]
    found = ui.backfill(partitionsByAssets=by_assets)
    assert found["status"] == "COMPLETED_SUCCESS", found
    assert [run["status"] for run in found["runs"]] == ["SUCCESS"]
    for name in ("raw_documents", "chunks"):
        assert ui.partitions(name) == {"materialized": ["alpha", "zoo"], "failed": []}

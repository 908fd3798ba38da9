"""Backfills as the UI launches them: one run, and the truth about every partition of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.dagster_servers import Server, run_server
from tests.support.runs import add_project, rows
from tests.support.stages import write

INGESTED = ["raw_documents", "chunks", "embeddings", "hnsw_index", "live_space"]


@pytest.fixture
def ui(two: Engine, tmp_path: Path) -> Iterator[Server]:
    """Five projects, of which the source of one is away."""
    for name in ("broken", "gamma", "omega"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(two, name, tmp_path / name)
    shutil.rmtree(tmp_path / "broken")
    with run_server(("dagster", "dev"), tmp_path / "server.log") as ui:
        yield ui


def test_the_page_of_a_backfill_tells_which_project_failed_and_one_of_a_range_is_one_run(
    ui: Server, two: Engine
) -> None:
    """Of three partitions, not next to each other, and of all that follows them; beside it, of a range of others."""
    chosen = ui.launch_backfill(
        assetSelection=[{"path": [name]} for name in INGESTED], partitionNames=["alpha", "broken", "zoo"]
    )
    # As Dagster has them: in the order in which they were added.
    others = {"range": {"start": "gamma", "end": "omega"}}
    ranged = ui.launch_backfill(
        partitionsByAssets=[{"assetKey": {"path": [name]}, "partitions": others} for name in INGESTED[:3]]
    )

    found = ui.wait_for_backfill(ranged)
    assert found["status"] == "COMPLETED_SUCCESS", found
    assert [run["status"] for run in found["runs"]] == ["SUCCESS"]

    found = ui.wait_for_backfill(chosen)
    assert found["status"] == "COMPLETED_FAILED", found
    shown = {status["assetKey"]["path"][0]: status for status in found["assetBackfillData"]["assetBackfillStatuses"]}
    for name in INGESTED[:3]:
        assert (shown[name]["numPartitionsMaterialized"], shown[name]["numPartitionsFailed"]) == (2, 1), shown
        assert ui.partitions(name) == {"materialized": ["alpha", "gamma", "omega", "zoo"], "failed": ["broken"]}
    # What follows a partition that failed is not begun, as Dagster does it; the next run serves the others.
    for name in INGESTED[3:]:
        assert (shown[name]["materialized"], shown[name]["failed"]) == (False, True)
    assert ui.wait_for_run(ui.launch(INGESTED[3:])) == "SUCCESS", ui.log_tail()
    served = rows(two, "SELECT DISTINCT project FROM rag.live_chunks ORDER BY 1")
    assert served == [("alpha",), ("gamma",), ("omega",), ("zoo",)]

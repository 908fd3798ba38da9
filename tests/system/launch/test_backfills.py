"""Backfills as the UI launches them: a range is one run, and the page shows the outcome of each partition."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.support.orchestration.dagster_servers import Server, run_server
from tests.support.pipeline.runs import add_project, rows
from tests.support.pipeline.stages import write

INGESTED = ["raw_documents", "chunks", "embeddings", "hnsw_index", "live_space"]


@pytest.fixture
def ui(two_projects: Engine, fast_model: object, tmp_path: Path) -> Iterator[Server]:
    """A server with five projects, one of them without its source."""
    for name in ("broken", "gamma", "omega"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        add_project(two_projects, name, tmp_path / name)
    shutil.rmtree(tmp_path / "broken")
    with run_server(("dagster", "dev"), tmp_path / "server.log") as ui:
        yield ui


def test_a_backfill_shows_which_project_failed_and_a_range_is_one_run(ui: Server, two_projects: Engine) -> None:
    """One backfill has three separate partitions and all downstream assets, another a range of other partitions."""
    separate = ui.launch_backfill(
        assetSelection=[{"path": [name]} for name in INGESTED], partitionNames=["alpha", "broken", "zoo"]
    )
    # A range follows the order in which the partitions were added.
    others = {"range": {"start": "gamma", "end": "omega"}}
    ranged = ui.launch_backfill(
        partitionsByAssets=[{"assetKey": {"path": [name]}, "partitions": others} for name in INGESTED[:3]]
    )

    found = ui.wait_for_backfill(ranged)
    assert found["status"] == "COMPLETED_SUCCESS", found
    assert [run["status"] for run in found["runs"]] == ["SUCCESS"]

    found = ui.wait_for_backfill(separate)
    assert found["status"] == "COMPLETED_FAILED", found
    shown = {status["assetKey"]["path"][0]: status for status in found["assetBackfillData"]["assetBackfillStatuses"]}
    for name in INGESTED[:3]:
        assert (shown[name]["numPartitionsMaterialized"], shown[name]["numPartitionsFailed"]) == (2, 1), shown
        assert ui.partitions(name) == {"materialized": ["alpha", "gamma", "omega", "zoo"], "failed": ["broken"]}
    # Dagster does not start assets downstream of a failed partition; the next run serves the other projects.
    for name in INGESTED[3:]:
        assert (shown[name]["materialized"], shown[name]["failed"]) == (False, True)
    assert ui.wait_for_run(ui.launch(INGESTED[3:])) == "SUCCESS", ui.log_tail()
    served = rows(two_projects, "SELECT DISTINCT project FROM rag.live_chunks ORDER BY 1")
    assert served == [("alpha",), ("gamma",), ("omega",), ("zoo",)]

"""A run over several projects of which some fail: the others are completed, and the failures are recorded."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.pipeline.audit.projects import stage_succeeded_for_projects
from rag_assets.projects.failures import list_failures
from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.pipeline.runs import add_project, errors, failed_checks, rows, run
from tests.support.pipeline.stages import write

PROJECTS = ("alpha", "broken", "gamma")
STAGES = ("raw_documents", "chunks", "embeddings")


@pytest.fixture(autouse=True)
def _fresh_encoders() -> None:
    ENCODERS.clear()


@pytest.fixture
def three_projects(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    """Three projects of two documents each; the source of the second is missing."""
    for name in PROJECTS:
        write(tmp_path / name / "a.md", f"# {name}\n\nThe text of {name}.\n")
        write(tmp_path / name / "b.md", f"# More\n\nAnother text of {name}.\n")
        add_project(engine, name, tmp_path / name)
    (tmp_path / "broken").rename(tmp_path / "away")
    return engine


def materialized_partitions(result: dg.ExecuteInProcessResult, asset: str) -> set[str | None]:
    events = result.get_asset_materialization_events()
    return {event.partition for event in events if event.asset_key == dg.AssetKey(asset)}


def partition_statuses(asset: str) -> dict[str, set[str]]:
    """The partition statuses that the UI shows for an asset."""
    from dagster._core.instance.types import CachingDynamicPartitionsLoader
    from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

    from rag_assets.orchestration.partitions import projects

    instance = dg.DagsterInstance.get()
    loader = CachingDynamicPartitionsLoader(instance)
    found = get_and_update_asset_status_cache_value(instance, dg.AssetKey(asset), projects, loader)
    assert found is not None
    return {
        "materialized": set(found.deserialize_materialized_partition_subsets(projects).get_partition_keys()),
        "failed": set(found.deserialize_failed_partition_subsets(projects).get_partition_keys()),
    }


def test_one_failing_project_does_not_stop_the_others(three_projects: Engine, tmp_path: Path) -> None:
    result = run(keys=PROJECTS)
    assert not result.success
    for asset in STAGES:
        assert materialized_partitions(result, asset) == {"alpha", "gamma"}
        assert partition_statuses(asset) == {"materialized": {"alpha", "gamma"}, "failed": {"broken"}}, asset
    assert materialized_partitions(result, "live_space") == {None}, "the other projects are served"
    assert rows(three_projects, "SELECT DISTINCT project FROM rag.live_chunks ORDER BY 1") == [("alpha",), ("gamma",)]
    found = {evaluation.check_name for evaluation in result.get_asset_check_evaluations() if not evaluation.passed}
    assert found == {"every_project_read", "every_project_chunked", "every_project_embedded"}
    assert "raw_documents failed for project broken" in errors(result)[0]
    assert "cannot be opened" in errors(result)[0]

    assert not stage_succeeded_for_projects(three_projects, "raw_documents").passed, (
        "the check fails until the project succeeds"
    )

    (tmp_path / "away").rename(tmp_path / "broken")
    result = run(keys=PROJECTS, only=STAGES)
    assert errors(result) == []
    for asset in STAGES:
        assert partition_statuses(asset) == {"materialized": set(PROJECTS), "failed": set()}
    with three_projects.connect() as connection:
        assert list_failures(connection) == []


def test_the_check_names_the_failed_project_and_the_reason(three_projects: Engine) -> None:
    result = run(keys=PROJECTS, only=["raw_documents"])
    check = failed_checks(result)["every_project_read"]
    assert (check["projects"], check["failed"], check["threshold"]) == (3, 1, 0)
    assert check["examples"][0].startswith("broken, since ")
    assert "cannot be opened" in check["examples"][0]


def test_a_failure_of_a_later_stage_keeps_earlier_stages_materialized(three_projects: Engine, tmp_path: Path) -> None:
    (tmp_path / "away").rename(tmp_path / "broken")
    add_project(three_projects, "broken", tmp_path / "broken", chunk_tokens=9_999)
    result = run(keys=PROJECTS, only=STAGES)
    assert materialized_partitions(result, "raw_documents") == set(PROJECTS)
    assert (
        materialized_partitions(result, "chunks") == materialized_partitions(result, "embeddings") == {"alpha", "gamma"}
    )
    assert partition_statuses("raw_documents") == {"materialized": set(PROJECTS), "failed": set()}
    assert partition_statuses("chunks")["failed"] == {"broken"}
    assert "the window of" in failed_checks(result)["every_project_chunked"]["examples"][0]


def test_a_stage_fails_if_all_projects_fail(three_projects: Engine, tmp_path: Path) -> None:
    for name in ("alpha", "gamma"):
        (tmp_path / name).rename(tmp_path / f"{name} away")
    result = run(keys=PROJECTS, only=STAGES)
    assert not result.success
    assert materialized_partitions(result, "raw_documents") == set()
    assert "raw_documents failed for all 3 projects: alpha: " in errors(result)[0]
    assert partition_statuses("raw_documents") == {"materialized": set(), "failed": set(PROJECTS)}


def test_a_database_error_in_one_project_does_not_stop_the_others(three_projects: Engine, tmp_path: Path) -> None:
    (tmp_path / "away").rename(tmp_path / "broken")
    with three_projects.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE rag.documents ADD CONSTRAINT no_broken CHECK (strpos(content, 'broken') = 0)"
        )
    result = run(keys=PROJECTS, only=["raw_documents"])
    assert materialized_partitions(result, "raw_documents") == {"alpha", "gamma"}
    assert "no_broken" in failed_checks(result)["every_project_read"]["examples"][0]


def test_a_model_failure_in_one_project_does_not_stop_the_others(three_projects: Engine, tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        if "broken" in text:
            raise RuntimeError("the tensor is cursed")

    (tmp_path / "away").rename(tmp_path / "broken")
    ENCODERS[1] = HashEncoder(fault=refuse)
    result = run(keys=PROJECTS, only=STAGES)
    assert materialized_partitions(result, "embeddings") == {"alpha", "gamma"}
    assert "the tensor is cursed" in failed_checks(result)["every_project_embedded"]["examples"][0]

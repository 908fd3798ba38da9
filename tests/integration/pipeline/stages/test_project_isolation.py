"""A run over several projects, of which some fail: the others are done, and the history tells which were not."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.pipeline.audit.projects import stage_succeeded_for_projects
from rag_assets.projects.failures import list_failures
from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.runs import add_project, errors, failed_checks, rows, run
from tests.support.stages import write

PROJECTS = ("alpha", "broken", "gamma")
STAGES = ("raw_documents", "chunks", "embeddings")


@pytest.fixture(autouse=True)
def _fresh_encoders() -> None:
    ENCODERS.clear()


@pytest.fixture
def three(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    """Three projects of two documents; the source of the one in the middle is away."""
    for name in PROJECTS:
        write(tmp_path / name / "a.md", f"# {name}\n\nThe text of {name}.\n")
        write(tmp_path / name / "b.md", f"# More\n\nAnother text of {name}.\n")
        add_project(engine, name, tmp_path / name)
    (tmp_path / "broken").rename(tmp_path / "away")
    return engine


def materialized(result: dg.ExecuteInProcessResult, asset: str) -> set[str | None]:
    events = result.get_asset_materialization_events()
    return {event.partition for event in events if event.asset_key == dg.AssetKey(asset)}


def statuses(asset: str) -> dict[str, set[str]]:
    """What the UI shows of the partitions of an asset."""
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


def test_one_failing_project_does_not_stop_the_others(three: Engine, tmp_path: Path) -> None:
    result = run(keys=PROJECTS)
    assert not result.success
    for asset in STAGES:
        assert materialized(result, asset) == {"alpha", "gamma"}
        assert statuses(asset) == {"materialized": {"alpha", "gamma"}, "failed": {"broken"}}, asset
    assert materialized(result, "live_space") == {None}, "the others are served"
    assert rows(three, "SELECT DISTINCT project FROM rag.live_chunks ORDER BY 1") == [("alpha",), ("gamma",)]
    found = {evaluation.check_name for evaluation in result.get_asset_check_evaluations() if not evaluation.passed}
    assert found == {"every_project_read", "every_project_chunked", "every_project_embedded"}
    assert "raw_documents failed for project broken" in errors(result)[0]
    assert "cannot be opened" in errors(result)[0]

    assert not stage_succeeded_for_projects(three, "raw_documents").passed, "it is told until it is mended"

    (tmp_path / "away").rename(tmp_path / "broken")
    result = run(keys=PROJECTS, only=STAGES)
    assert errors(result) == []
    for asset in STAGES:
        assert statuses(asset) == {"materialized": set(PROJECTS), "failed": set()}
    with three.connect() as connection:
        assert list_failures(connection) == []


def test_the_check_says_which_project_failed_and_why(three: Engine) -> None:
    result = run(keys=PROJECTS, only=["raw_documents"])
    said = failed_checks(result)["every_project_read"]
    assert (said["projects"], said["failed"], said["threshold"]) == (3, 1, 0)
    assert said["examples"][0].startswith("broken, since ")
    assert "cannot be opened" in said["examples"][0]


def test_what_fails_later_leaves_the_stages_before_it(three: Engine, tmp_path: Path) -> None:
    (tmp_path / "away").rename(tmp_path / "broken")
    add_project(three, "broken", tmp_path / "broken", chunk_tokens=9_999)
    result = run(keys=PROJECTS, only=STAGES)
    assert materialized(result, "raw_documents") == set(PROJECTS)
    assert materialized(result, "chunks") == materialized(result, "embeddings") == {"alpha", "gamma"}
    assert statuses("raw_documents") == {"materialized": set(PROJECTS), "failed": set()}
    assert statuses("chunks")["failed"] == {"broken"}
    assert "the window of" in failed_checks(result)["every_project_chunked"]["examples"][0]


def test_projects_that_all_fail_fail_the_stage(three: Engine, tmp_path: Path) -> None:
    for name in ("alpha", "gamma"):
        (tmp_path / name).rename(tmp_path / f"{name} away")
    result = run(keys=PROJECTS, only=STAGES)
    assert not result.success
    assert materialized(result, "raw_documents") == set()
    assert "raw_documents failed for all 3 projects: alpha: " in errors(result)[0]
    assert statuses("raw_documents") == {"materialized": set(), "failed": set(PROJECTS)}


def test_a_project_whose_rows_cannot_be_written_does_not_stop_the_others(three: Engine, tmp_path: Path) -> None:
    (tmp_path / "away").rename(tmp_path / "broken")
    with three.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE rag.documents ADD CONSTRAINT no_broken CHECK (strpos(content, 'broken') = 0)"
        )
    result = run(keys=PROJECTS, only=["raw_documents"])
    assert materialized(result, "raw_documents") == {"alpha", "gamma"}
    assert "no_broken" in failed_checks(result)["every_project_read"]["examples"][0]


def test_a_model_that_refuses_one_project_embeds_the_others(three: Engine, tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        if "broken" in text:
            raise RuntimeError("the tensor is cursed")

    (tmp_path / "away").rename(tmp_path / "broken")
    ENCODERS[1] = HashEncoder(fault=refuse)
    result = run(keys=PROJECTS, only=STAGES)
    assert materialized(result, "embeddings") == {"alpha", "gamma"}
    assert "the tensor is cursed" in failed_checks(result)["every_project_embedded"]["examples"][0]

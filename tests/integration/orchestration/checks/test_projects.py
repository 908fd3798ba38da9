"""Checks of the projects: failed stages are reported until they succeed, and stale projects are found."""

from datetime import timedelta

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.definitions import defs
from rag_assets.pipeline.audit.projects import every_project_fresh, stage_succeeded_for_projects
from rag_assets.projects.failures import list_failures, record_failure, record_success
from rag_assets.projects.store import retire_project
from tests.support.pipeline.check_runs import change_database


@pytest.mark.parametrize("stage", ["raw_documents", "chunks", "embeddings"])
def test_a_failed_stage_is_reported_until_it_succeeds(built: Engine, stage: str) -> None:
    assert stage_succeeded_for_projects(built, stage).metadata == {
        "projects": 2,
        "failed": 0,
        "threshold": 0,
        "examples": [],
    }
    with built.begin() as connection:
        record_failure(connection, "zoo", stage, "the folder\0 is away", "run-1")
        record_failure(connection, "nobody", stage, "no such project", "run-1")
    found = stage_succeeded_for_projects(built, stage)
    assert not found.passed
    assert (found.metadata["projects"], found.metadata["failed"]) == (2, 1)
    assert found.metadata["examples"][0].endswith("UTC: the folder\N{REPLACEMENT CHARACTER} is away")
    assert stage_succeeded_for_projects(built, stage, ["sea"]).passed, "the check of a run over another project passes"
    with built.begin() as connection:
        first = list_failures(connection)[0].since
        record_failure(connection, "zoo", stage, "still away", "run-2")
        again = list_failures(connection, run_id="run-2")
        assert [(one.error, one.since) for one in again] == [("still away", first)]
        record_success(connection, ["zoo"], stage)
    assert stage_succeeded_for_projects(built, stage).passed


def test_a_project_is_stale_after_its_own_maximum_age(built: Engine) -> None:
    found = every_project_fresh(built, 36)
    assert found.passed
    assert (found.metadata["projects"], found.metadata["stale"]) == (2, 0)
    change_database(built, "UPDATE rag.projects SET refreshed_at = now() - interval '3 days' WHERE name = 'zoo'")
    found = every_project_fresh(built, 36)
    assert (found.metadata["projects"], found.metadata["stale"]) == (2, 1)
    assert found.metadata["oldest_hours"] == pytest.approx(72, abs=0.1)
    assert found.metadata["examples"][0].startswith("zoo: last read ")
    change_database(built, "UPDATE rag.projects SET refreshed_at = now() + interval '1 year' WHERE name = 'zoo'")
    assert "in the future: a clock was ahead" in every_project_fresh(built, 36).reason
    change_database(built, "UPDATE rag.projects SET refreshed_at = now() - interval '3 days' WHERE name = 'zoo'")
    change_database(built, """UPDATE rag.projects SET settings = '{"stale_after_hours": 100}' WHERE name = 'zoo'""")
    assert every_project_fresh(built, 36).passed
    change_database(
        built,
        """UPDATE rag.projects SET settings = '{"stale_after_hours": 0.5}', refreshed_at = NULL, """
        "created_at = now() - interval '1 hour' WHERE name = 'zoo'",
    )
    assert every_project_fresh(built, 36).metadata["examples"] == ["zoo: last read never, wanted every 0.5 h"]
    change_database(built, """UPDATE rag.projects SET settings = '{"schedule": "never"}' WHERE name = 'zoo'""")
    assert every_project_fresh(built, 36).metadata["projects"] == 1, "a project without a schedule cannot be stale"


def test_a_removed_project_is_neither_failed_nor_stale(built: Engine) -> None:
    with built.begin() as connection:
        record_failure(connection, "zoo", "chunks", "why", None)
        retire_project(connection, "zoo")
    change_database(built, "UPDATE rag.projects SET refreshed_at = now() - interval '3 days' WHERE name = 'zoo'")
    assert stage_succeeded_for_projects(built, "chunks").metadata["projects"] == 1
    assert stage_succeeded_for_projects(built, "chunks").passed
    assert every_project_fresh(built, 36).passed


def test_documents_and_the_live_space_have_a_freshness_policy() -> None:
    policies = {
        spec.key.to_user_string(): spec.freshness_policy
        for asset in defs.assets or []
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
    }
    wanted = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
    assert {name for name, policy in policies.items() if policy == wanted} == {"raw_documents", "live_space"}

"""Launch runs with Dagster's own commands, as real processes in the root of the repository."""

import os
import shutil
import subprocess

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.orchestration.dagster_servers import BIN, ROOT
from tests.support.pipeline.runs import rows

# Two of Dagster's commands read neither workspace.yaml nor [tool.dagster]: they need an option or a variable.
DEFINITIONS = "rag_assets.definitions"
VARIABLE = {"DAGSTER_MODULE_NAME": DEFINITIONS}


def run_command(line: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command, *words = line.split()
    found = shutil.which(command, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{command} is not installed: pip install -e '.[dg]' -c constraints.txt")
    result = subprocess.run(
        [found, *words, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"} | env,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def project_of_documents(engine: Engine) -> list[str]:
    return [
        name
        for (name,) in rows(
            engine, "SELECT p.name FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id ORDER BY 1"
        )
    ]


def test_one_partition_and_a_range_are_materialized(two_projects: Engine) -> None:
    run_command("dagster asset materialize --select raw_documents --partition zoo", **VARIABLE)
    assert project_of_documents(two_projects) == ["zoo"]
    run_command(
        f"dagster asset materialize -m {DEFINITIONS} --select raw_documents,chunks --partition-range alpha...zoo"
    )
    assert project_of_documents(two_projects) == ["alpha", "zoo"]
    assert rows(two_projects, "SELECT count(*) FROM rag.document_chunks") == [(2,)]


def test_a_job_is_executed(two_projects: Engine, fast_model: object) -> None:
    run_command(f"dagster job execute -m {DEFINITIONS} -j ingest --tags", '{"dagster/partition": "zoo"}')
    assert rows(two_projects, "SELECT DISTINCT project FROM rag.live_chunks") == [("zoo",)]
    run_command("dagster job execute -j checks", **VARIABLE)


def test_definitions_are_valid(settings: Settings) -> None:
    run_command("dagster definitions validate")


def test_dg_checks_lists_and_launches_definitions(two_projects: Engine) -> None:
    run_command("dg check defs")
    result = run_command("dg list defs --json").stdout
    for name in ("raw_documents", "live_space", "nightly_refresh", "changed_sources", "every_project_read"):
        assert name in result
    run_command("dg launch --assets raw_documents --partition alpha")
    assert project_of_documents(two_projects) == ["alpha"]
    run_command("dg launch --assets raw_documents --partition-range alpha...zoo")
    assert project_of_documents(two_projects) == ["alpha", "zoo"]

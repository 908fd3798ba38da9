"""Launching by hand, as people do: real processes of Dagster's own commands, in the root of the repository."""

import os
import shutil
import subprocess

import pytest
from sqlalchemy import Engine

from rag_assets.settings.settings import Settings
from tests.support.dagster_servers import BIN, ROOT
from tests.support.runs import rows

# Two of Dagster's commands read neither workspace.yaml nor [tool.dagster]: they are told like this, or by a variable.
DEFINITIONS = "rag_assets.definitions"
VARIABLE = {"DAGSTER_MODULE_NAME": DEFINITIONS}


def call(line: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command, *words = line.split()
    found = shutil.which(command, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{command} is not installed: pip install -e '.[dg]' -c constraints.txt")
    said = subprocess.run(
        [found, *words, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"} | env,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said


def documents(engine: Engine) -> list[str]:
    return [
        name
        for (name,) in rows(
            engine, "SELECT p.name FROM rag.documents d JOIN rag.projects p ON p.id = d.project_id ORDER BY 1"
        )
    ]


def test_one_partition_then_a_range_of_them(two: Engine) -> None:
    call("dagster asset materialize --select raw_documents --partition zoo", **VARIABLE)
    assert documents(two) == ["zoo"]
    call(f"dagster asset materialize -m {DEFINITIONS} --select raw_documents,chunks --partition-range alpha...zoo")
    assert documents(two) == ["alpha", "zoo"]
    assert rows(two, "SELECT count(*) FROM rag.document_chunks") == [(2,)]


def test_a_job_is_executed(two: Engine) -> None:
    call(f"dagster job execute -m {DEFINITIONS} -j ingest --tags", '{"dagster/partition": "zoo"}')
    assert rows(two, "SELECT DISTINCT project FROM rag.live_chunks") == [("zoo",)]
    call("dagster job execute -j checks", **VARIABLE)


def test_definitions_are_valid(settings: Settings) -> None:
    call("dagster definitions validate")


def test_dg_checks_lists_and_launches(two: Engine) -> None:
    call("dg check defs")
    said = call("dg list defs --json").stdout
    for name in ("raw_documents", "live_space", "nightly_refresh", "changed_sources", "every_project_read"):
        assert name in said
    call("dg launch --assets raw_documents --partition alpha")
    assert documents(two) == ["alpha"]
    call("dg launch --assets raw_documents --partition-range alpha...zoo")
    assert documents(two) == ["alpha", "zoo"]

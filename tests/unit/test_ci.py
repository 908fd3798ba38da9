"""The workflows say what can be run: the one of this repository, and the one that the README has for others."""

import re
import shlex
import tomllib
from typing import Any

import click
import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from rag_assets.cli.main import app
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    return found


def workflow_of_the_readme() -> dict[str, Any]:
    [block] = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def commands(found: dict[str, Any]) -> list[str]:
    return [step["run"] for job in found["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("found", [workflow(), workflow_of_the_readme()], ids=["ours", "readme"])
def test_every_command_of_ours_is_one_that_there_is(found: dict[str, Any]) -> None:
    group = typer.main.get_command(app)
    ours = [shlex.split(line) for line in commands(found) if line.startswith("rag-assets ")]
    assert ["check", "--junit"] in [words[1:3] for words in ours]
    for words in ours:
        # What is wrong with a word is said before anything is run.
        with click.Context(group) as context:
            command = group.get_command(context, words[1])  # type: ignore[attr-defined]
            assert command is not None, words
            command.make_context(words[1], list(words[2:]), parent=context)


def test_it_is_what_decides_here_too() -> None:
    said = (ROOT / ".ci/run").read_text()
    for line in commands(workflow()):
        if line.startswith(("ruff", "mypy", "dagster")):
            assert f"\n{line}\n" in said, line
    # The job that tries other versions of Dagster installs without constraints.txt, which no reader should.
    pinned = {"jobs": {name: job for name, job in workflow()["jobs"].items() if name != "dagster"}}
    installs = {line for line in commands(pinned) if line.startswith("pip")}
    assert all(line in README for line in installs), installs


def test_the_lowest_dagster_of_the_package_is_tried_and_the_newest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [dagster] = [one for one in map(Requirement, project["dependencies"]) if one.name == "dagster"]
    [lowest] = [Version(bound.version) for bound in dagster.specifier if bound.operator == ">="]
    pins = {one["version"]: one["pins"] for one in workflow()["jobs"]["dagster"]["strategy"]["matrix"]["include"]}
    assert pins.keys() == {"lowest", "newest"}
    assert pins["newest"] == ""
    assert {Version(pin.partition("==")[2]) for pin in pins["lowest"].split()} == {lowest}


def test_it_runs_on_a_fork_with_both_databases() -> None:
    found = workflow()
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "secrets." not in text
    assert "vars." not in text
    ingest = found["jobs"]["ingest"]
    images = {entry["database"]: entry["image"] for entry in ingest["strategy"]["matrix"]["include"]}
    assert images["embedded"] == ""
    assert images["service"].startswith("pgvector/pgvector:pg")
    assert ingest["services"]["postgres"]["image"] == "${{ matrix.image }}"
    # YAML 1.1 reads `on` as true.
    assert set(found[True]) == {"push", "pull_request"}

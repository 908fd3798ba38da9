"""The workflows of this repository, and the one that the CI guide shows, run commands that exist."""

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
from tests.support.documentation.pages import PAGES, find_block
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def load_workflow(name: str = "ci") -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return found


def load_workflow_of_guide() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(find_block(PAGES / "guides" / "ci.md", "runs-on").code)
    return found


def run_commands(found: dict[Any, Any]) -> list[str]:
    return [step["run"] for job in found["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("found", [load_workflow(), load_workflow_of_guide()], ids=["ours", "guide"])
def test_workflows_run_existing_commands_and_options(found: dict[Any, Any]) -> None:
    group: Any = typer.main.get_command(app)
    ours = [shlex.split(line) for line in run_commands(found) if line.startswith("rag-assets ")]
    assert ["check", "--junit"] in [words[1:3] for words in ours]
    for words in ours:
        # Parses the arguments without running the command.
        with click.Context(group) as context:
            command = group.get_command(context, words[1])
            assert command is not None, words
            command.make_context(words[1], list(words[2:]), parent=context)


def test_makefile_and_readme_have_the_commands_of_ci() -> None:
    script = (ROOT / ".ci/run").read_text()
    for line in run_commands(load_workflow()):
        if line.startswith(("ruff", "mypy", "lint-imports", "python", "dagster", "mkdocs")):
            assert f"\t{line}\n" in MAKEFILE, line
            recipe = rf"^([a-z-]+):[^\n]*\n(?:\t.*\n)*\t{re.escape(line)}\n"
            target = re.findall(recipe, MAKEFILE, flags=re.MULTILINE)[0]
            assert f"\n{line}\n" in script or re.search(rf"^make .*\b{target}\b", script, flags=re.MULTILINE), line
    # The job that tries other versions of Dagster installs without constraints.txt, which the README must not, and the
    # audit has tools of its own.
    pinned = {"jobs": {name: job for name, job in load_workflow()["jobs"].items() if name not in ("dagster", "audit")}}
    installs = {line for line in run_commands(pinned) if line.startswith("pip")}
    assert all(line in README for line in installs), installs


def test_pre_commit_uses_only_installed_tools() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].replace(" --fix", "") in MAKEFILE


def test_a_tag_starts_a_release_without_secrets() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "secrets." not in text
    found = load_workflow("release")
    assert found[True] == {"push": {"tags": ["v*"]}}
    assert found["jobs"]["publish"]["permissions"] == {"id-token": "write"}


def test_ci_tests_the_lowest_and_the_newest_dagster() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [dagster] = [one for one in map(Requirement, project["dependencies"]) if one.name == "dagster"]
    [lowest] = [Version(bound.version) for bound in dagster.specifier if bound.operator == ">="]
    pins = {one["version"]: one["pins"] for one in load_workflow()["jobs"]["dagster"]["strategy"]["matrix"]["include"]}
    assert pins.keys() == {"lowest", "newest"}
    assert pins["newest"] == ""
    assert {Version(pin.partition("==")[2]) for pin in pins["lowest"].split()} == {lowest}


def test_ci_runs_on_forks_with_both_databases() -> None:
    found = load_workflow()
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "secrets." not in text
    assert "vars." not in text
    ingest = found["jobs"]["ingest"]
    images = {entry["database"]: entry["image"] for entry in ingest["strategy"]["matrix"]["include"]}
    assert images["embedded"] == ""
    assert images["service"].startswith("pgvector/pgvector:pg")
    assert ingest["services"]["postgres"]["image"] == "${{ matrix.image }}"
    # YAML 1.1 reads `on` as true.
    assert set(found[True]) == {"push", "pull_request", "schedule"}


def test_the_pins_are_audited_and_a_release_has_an_sbom() -> None:
    [audit] = [line for line in run_commands(load_workflow()) if line.startswith("pip-audit")]
    assert "--requirement constraints.txt" in audit
    [sbom] = [line for line in run_commands(load_workflow("release")) if "cyclonedx-py environment" in line]
    # Of the environment in which the wheel was tried, not of the tools that build it.
    assert sbom.rstrip().endswith('"$RUNNER_TEMP/wheel/bin/python"')
    steps = load_workflow("release")["jobs"]["build"]["steps"]
    assert "*.cdx.json" in [step.get("with", {}).get("path") for step in steps]

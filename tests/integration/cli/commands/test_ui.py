"""What `rag-assets ui` prepares before it starts Dagster; tests/system tests the pages."""

import socket
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from sqlalchemy import URL, Engine

from rag_assets.cli.commands import ui
from rag_assets.orchestration.partitions import projects
from rag_assets.settings.settings import Settings
from tests.support.installation.command_line import Cli, CommandResult
from tests.support.installation.installations import install
from tests.support.orchestration.dagster_servers import free_port
from tests.support.paths import ROOT
from tests.support.pipeline.runs import rows


@pytest.fixture
def started_commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines with which Dagster would be started."""
    lines: list[list[str]] = []
    monkeypatch.setattr(ui.runpy, "run_module", lambda name, **_: lines.append([name, *sys.argv[1:]]))
    return lines


def open_ui(cli: Cli) -> CommandResult:
    return cli("ui", "--port", str(free_port()))


def partition_keys() -> list[str]:
    return list(dg.DagsterInstance.get().get_dynamic_partitions(str(projects.name)))


def test_an_empty_database_gets_a_schema_and_a_first_project(
    empty_database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, started_commands: list[list[str]]
) -> None:
    install(empty_database, tmp_path, monkeypatch)
    port = str(free_port())
    result = cli("ui", "--port", port)
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines()[0].startswith("no project yet: added python-topics")
    assert result.err.splitlines()[-1] == f"http://127.0.0.1:{port}"
    assert started_commands == [["dagster", "dev", "-w", str(ui.WORKSPACE_YAML), "-h", "127.0.0.1", "-p", port]]
    assert partition_keys() == ["python-topics"]
    assert "python-topics" in cli("projects", "list").out


def test_existing_projects_are_partitions_and_none_is_added(
    settings: Settings, engine: Engine, tmp_path: Path, cli: Cli, started_commands: list[list[str]]
) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    cli("projects", "add", "old", folder)
    cli("projects", "remove", "old")
    assert open_ui(cli).code == 0
    assert partition_keys() == [], "no first project is added where one has been removed"
    (settings.state_dir / "projects.yaml").write_text(yaml.safe_dump({"projects": {"new": {"source": str(folder)}}}))
    assert "no project yet" not in open_ui(cli).err
    assert partition_keys() == ["new"]
    assert rows(engine, "SELECT name FROM rag.projects ORDER BY 1") == [("new",), ("old",)]


def test_no_project_is_added_if_automation_would_read_it_immediately(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cli: Cli, started_commands: list[list[str]]
) -> None:
    monkeypatch.setenv("RAG_ASSETS_AUTOMATION", "true")
    assert open_ui(cli).err.splitlines()[0] == "no project yet; add one: rag-assets projects add NAME SOURCE"
    assert partition_keys() == []


def test_an_invalid_declaration_is_an_error_before_dagster_starts(
    settings: Settings, cli: Cli, started_commands: list[list[str]]
) -> None:
    (settings.state_dir / "projects.yaml").write_text("projects: [handbook]\n")
    assert "projects.yaml must have one key" in open_ui(cli).error(2)
    assert started_commands == []


def test_the_code_location_has_the_same_name_in_all_configurations() -> None:
    tool = (ROOT / "pyproject.toml").read_text()
    assert 'code_location_name = "rag_assets"' in tool
    for file in (ROOT / "workspace.yaml", ui.WORKSPACE_YAML):
        [loaded] = yaml.safe_load(file.read_text())["load_from"]
        assert loaded == {"python_module": {"module_name": "rag_assets.definitions", "location_name": "rag_assets"}}


def test_a_port_in_use_is_refused(settings: Settings, cli: Cli, started_commands: list[list[str]]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port} cannot be used (Address already in use)" in cli("ui", "--port", str(port)).error(2)
    assert cli("ui", "--port", "70000").code == 2
    assert started_commands == []

"""What `rag-assets ui` makes ready before Dagster takes over; tests/ui looks at the pages themselves."""

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
from tests.support.command_line import Cli, CommandResult
from tests.support.dagster_servers import free_port
from tests.support.installations import install
from tests.support.paths import ROOT
from tests.support.runs import rows


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that Dagster would have been started with."""
    lines: list[list[str]] = []
    monkeypatch.setattr(ui.runpy, "run_module", lambda name, **_: lines.append([name, *sys.argv[1:]]))
    return lines


def opened(cli: Cli) -> CommandResult:
    return cli("ui", "--port", str(free_port()))


def keys() -> list[str]:
    return list(dg.DagsterInstance.get().get_dynamic_partitions(str(projects.name)))


def test_empty_database_gets_its_schema_and_a_first_project(
    empty_database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, started: list[list[str]]
) -> None:
    install(empty_database, tmp_path, monkeypatch)
    port = str(free_port())
    said = cli("ui", "--port", port)
    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines()[0].startswith("no project yet: added python-topics")
    assert said.err.splitlines()[-1] == f"http://127.0.0.1:{port}"
    assert started == [["dagster", "dev", "-w", str(ui.WORKSPACE_YAML), "-h", "127.0.0.1", "-p", port]]
    assert keys() == ["python-topics"]
    assert "python-topics" in cli("projects", "list").out


def test_projects_that_there_are_can_be_chosen_and_none_is_added(
    settings: Settings, engine: Engine, tmp_path: Path, cli: Cli, started: list[list[str]]
) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    cli("projects", "add", "old", folder)
    cli("projects", "remove", "old")
    assert opened(cli).code == 0
    assert keys() == [], "who has removed a project knows how to add one"
    (settings.state_dir / "projects.yaml").write_text(yaml.safe_dump({"projects": {"new": {"source": str(folder)}}}))
    assert "no project yet" not in opened(cli).err
    assert keys() == ["new"]
    assert rows(engine, "SELECT name FROM rag.projects ORDER BY 1") == [("new",), ("old",)]


def test_nothing_is_added_where_sensors_would_read_it_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cli: Cli, started: list[list[str]]
) -> None:
    monkeypatch.setenv("RAG_ASSETS_AUTOMATION", "true")
    assert opened(cli).err.splitlines()[0] == "no project yet; add one: rag-assets projects add NAME SOURCE"
    assert keys() == []


def test_wrong_declaration_is_said_before_anything_is_started(
    settings: Settings, cli: Cli, started: list[list[str]]
) -> None:
    (settings.state_dir / "projects.yaml").write_text("projects: [handbook]\n")
    assert "projects.yaml must have one key" in opened(cli).error(2)
    assert started == []


def test_location_is_called_alike_however_it_is_opened() -> None:
    tool = (ROOT / "pyproject.toml").read_text()
    assert 'code_location_name = "rag_assets"' in tool
    for file in (ROOT / "workspace.yaml", ui.WORKSPACE_YAML):
        [loaded] = yaml.safe_load(file.read_text())["load_from"]
        assert loaded == {"python_module": {"module_name": "rag_assets.definitions", "location_name": "rag_assets"}}


def test_a_port_that_is_taken_is_refused(settings: Settings, cli: Cli, started: list[list[str]]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port} cannot be used (Address already in use)" in cli("ui", "--port", str(port)).error(2)
    assert cli("ui", "--port", "70000").code == 2
    assert started == []

"""The installed command, as real processes: what only a process of its own can show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag_assets.db.server.server import EmbeddedServer
from rag_assets.settings.settings import Settings
from tests.support.json_shapes import INGEST, SEARCH, assert_shape
from tests.support.stages import write

COMMAND = Path(sys.executable).with_name("rag-assets")


def call(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | env,
        timeout=300,
        check=False,
    )


def test_errors_are_one_line_and_a_code(settings: Settings) -> None:
    said = call("ingest", "/no/such/folder", "--json")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("rag-assets: ")
    assert said.stderr.count("\n") == 1
    assert call("nonsense").returncode == 2
    assert call("ingest", "--nonsense").returncode == 2
    assert call("--help").returncode == 0


def test_reader_that_stops_reading_is_no_error(settings: Settings) -> None:
    said = subprocess.run(
        f"{COMMAND} status | head -c 1", shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in said.stderr


def test_folder_of_its_own_is_an_installation_of_its_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAG_ASSETS_STATE_DIR", "RAG_ASSETS_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name)
    folders = [tmp_path / "one", tmp_path / "two"]
    try:
        for folder in folders:
            folder.mkdir()
            assert call("db", "upgrade", cwd=folder).returncode == 0
        urls = [call("db", "url", cwd=folder).stdout for folder in folders]
        assert urls[0] != urls[1]
        for folder in folders:
            assert (folder / ".rag_assets").is_dir()
        assert call("db", "stop", cwd=folders[0]).stdout == "stopped\n"
        assert call("db", "stop", cwd=folders[0]).stdout == "it was not running\n"
        assert call("db", "current", cwd=folders[1]).returncode == 0
    finally:
        for folder in folders:
            EmbeddedServer.at(folder / ".rag_assets").stop()


def test_topics_with_the_real_model_then_nothing_to_do_without_it(settings: Settings, tmp_path: Path) -> None:
    said = call("ingest", "--json")
    assert said.returncode == 0, said.stderr
    first = json.loads(said.stdout)
    assert_shape(first, INGEST)
    assert first["project"] == "python-topics"
    assert first["documents"]["new"] == first["documents"]["seen"] > 70
    assert first["texts"]["embedded"] == first["texts"]["distinct"] == first["vectors"]
    assert all(check["passed"] for check in first["checks"])

    program = (
        "import sys; sys.argv = ['rag-assets', 'ingest', '--json']\n"
        "from rag_assets.cli.main import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'sentence_transformers', 'transformers') if name in sys.modules], "
        "file=sys.stderr)"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[-1] == "[]"
    second = json.loads(again.stdout)
    assert second["texts"] == {"distinct": first["vectors"], "embedded": 0, "reused": first["vectors"]}
    assert second["documents"]["unchanged"] == first["documents"]["seen"]

    found = json.loads(call("search", "How do I make sure that a file is closed?", "-k", "3", "--json").stdout)
    assert_shape(found, SEARCH)
    assert [hit["project"] for hit in found["hits"]] == ["python-topics"] * 3
    assert call("check", "--json").returncode == 0


def test_commands_at_one_time_do_not_disturb_each_other(settings: Settings, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "a.md", f"# {name}\n\nThe text of {name}.")
        write(tmp_path / name / "shared.md", "The text of both.")
    running = [
        subprocess.Popen([COMMAND, "ingest", tmp_path / name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in ("one", "two", "one")
    ]
    said = [(process.communicate(timeout=300), process.returncode) for process in running]
    # Checks look at all projects: one that is being read just now may lack its vectors for a moment.
    passing = {"texts_have_vectors", "documents_have_chunks", "serves_wanted_space"}
    for (out, err), code in said:
        assert out, err.decode()
        report = json.loads(out)
        assert_shape(report, INGEST)
        red = {check["name"] for check in report["checks"] if not check["passed"]}
        assert code == int(bool(red)), (code, err)
        assert red <= passing, err
    for name in ("one", "two"):
        assert call("ingest", "--project", name).returncode == 0
    assert call("check").returncode == 0
    status = json.loads(call("status", "--json").stdout)
    assert {project["name"]: project["vectors"] for project in status["projects"]} == {"one": 2, "two": 2}
    assert status["pending"] == dict.fromkeys(status["pending"], 0)

"""The installed command as real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag_assets.db.server.server import EmbeddedServer
from rag_assets.settings.settings import Settings
from tests.support.json_shapes import INGEST, SEARCH, assert_shape
from tests.support.pipeline.stages import write

COMMAND = Path(sys.executable).with_name("rag-assets")

# `.ci/run` ingests the whole default source with the real model; a few texts are enough here.
CLOSING_FILES = {
    "with": "A with statement releases what was opened when its block ends, also after an exception.",
    "for": "A for statement iterates over the items of a sequence.",
    "lambda": "A lambda expression creates an anonymous function.",
}


def run_command(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | env,
        timeout=900,
        check=False,
    )


def test_an_error_is_one_line_and_an_exit_code(settings: Settings) -> None:
    result = run_command("ingest", "/no/such/folder", "--json")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("rag-assets: ")
    assert result.stderr.count("\n") == 1
    assert run_command("nonsense").returncode == 2
    assert run_command("ingest", "--nonsense").returncode == 2
    assert run_command("--help").returncode == 0


def test_a_closed_stdout_is_no_error(settings: Settings) -> None:
    result = subprocess.run(
        f"{COMMAND} status | head -c 1", shell=True, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in result.stderr


def test_each_folder_is_its_own_installation(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAG_ASSETS_STATE_DIR", "RAG_ASSETS_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name)
    folders = [tmp_path / "one", tmp_path / "two"]
    try:
        for folder in folders:
            folder.mkdir()
            assert run_command("db", "upgrade", cwd=folder).returncode == 0
        urls = [run_command("db", "url", cwd=folder).stdout for folder in folders]
        assert urls[0] != urls[1]
        for folder in folders:
            assert (folder / ".rag_assets").is_dir()
        assert run_command("db", "stop", cwd=folders[0]).stdout == "stopped\n"
        assert run_command("db", "stop", cwd=folders[0]).stdout == "it was not running\n"
        assert run_command("db", "current", cwd=folders[1]).returncode == 0
    finally:
        for folder in folders:
            EmbeddedServer.at(folder / ".rag_assets").stop()


def test_documents_are_ingested_by_the_real_model_and_a_second_run_does_not_load_it(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    for name, body in CLOSING_FILES.items():
        write(folder / f"{name}.md", f"# {name}\n\n{body}")
    result = run_command("ingest", folder, "--json")
    assert result.returncode == 0, result.stderr
    first = json.loads(result.stdout)
    assert_shape(first, INGEST)
    assert first["project"] == "files"
    assert first["documents"]["new"] == first["documents"]["seen"] == len(CLOSING_FILES)
    assert first["texts"]["embedded"] == first["texts"]["distinct"] == first["vectors"]
    assert all(check["passed"] for check in first["checks"])

    program = (
        "import sys; sys.argv = ['rag-assets', 'ingest', '--project', 'files', '--json']\n"
        "from rag_assets.cli.main import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'sentence_transformers', 'transformers') if name in sys.modules], "
        "file=sys.stderr)"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=900, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[-1] == "[]"
    second = json.loads(again.stdout)
    assert second["texts"] == {"distinct": first["vectors"], "embedded": 0, "reused": first["vectors"]}
    assert second["documents"]["unchanged"] == first["documents"]["seen"]

    found = json.loads(run_command("search", "How do I make sure that a file is closed?", "--json").stdout)
    assert_shape(found, SEARCH)
    assert found["hits"][0]["file_path"] == "with.md"
    assert run_command("check", "--json").returncode == 0


def test_concurrent_commands_do_not_disturb_each_other(settings: Settings, tmp_path: Path, fast_model: object) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "a.md", f"# {name}\n\nThe text of {name}.")
        write(tmp_path / name / "shared.md", "The text of both.")
    running = [
        subprocess.Popen([COMMAND, "ingest", tmp_path / name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in ("one", "two", "one")
    ]
    result = [(process.communicate(timeout=900), process.returncode) for process in running]
    # Checks cover all projects, and a project that is being ingested may lack its vectors for a moment.
    transient = {"texts_have_vectors", "documents_have_chunks", "serves_wanted_space"}
    for (out, err), code in result:
        assert out, err.decode()
        report = json.loads(out)
        # Of a model over HTTP alone.
        report.pop("billed_tokens", None)
        assert_shape(report, INGEST)
        failed = {check["name"] for check in report["checks"] if not check["passed"]}
        assert code == int(bool(failed)), (code, err)
        assert failed <= transient, err
    for name in ("one", "two"):
        assert run_command("ingest", "--project", name).returncode == 0
    assert run_command("check").returncode == 0
    status = json.loads(run_command("status", "--json").stdout)
    assert {project["name"]: project["vectors"] for project in status["projects"]} == {"one": 2, "two": 2}
    assert status["pending"] == dict.fromkeys(status["pending"], 0)

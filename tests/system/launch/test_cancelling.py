"""Runs terminated as in the UI, in the middle of long work: they end soon, clean up, and the next run continues."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from tests.support.embedding_server.server import EmbeddingServer
from tests.support.fakes import ENCODERS
from tests.support.orchestration.dagster_servers import (
    PARSER,
    TERMINATE,
    Server,
    find_installation_processes,
    run_server,
    wait_until_processes_end,
)
from tests.support.paths import FILES
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, STAGES, THIS_DATABASE, add_project, encoder, rows, run
from tests.support.pipeline.stages import write

# Far less than the cancelled work would have taken. On an idle machine, runs end within seconds.
SOON_S = 30
WORKING = (
    "SELECT left(query, 200) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND (state <> 'idle' OR xact_start IS NOT NULL)"
)


@pytest.fixture
def zoo(settings: object, engine: Engine, tmp_path: Path) -> Engine:
    add_project(engine, "zoo", tmp_path / "zoo")
    return engine


@pytest.fixture
def many_texts(zoo: Engine, tmp_path: Path) -> int:
    """Write and split documents into short chunks; returns the number of distinct texts, about 1,000."""
    for number in range(15):
        parts = [f"# Page {number}.{part}\n\n{'lion ' * part}{number}\n" for part in range(100)]
        write(tmp_path / "zoo" / f"{number:02}.md", "\n".join(parts))
    assert run(key="zoo", only=STAGES[:2]).success
    [(found,)] = rows(zoo, "SELECT count(DISTINCT content_hash) FROM rag.document_chunks")
    return int(found)


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[Server]:
    with run_server(("dagster", "dev"), tmp_path / "server.log") as ui:
        yield ui


def terminate(ui: Server, engine: Engine, launched: str) -> None:
    """Terminate the run; check that it and all its work in the database end within SOON_S."""
    started = time.monotonic()
    assert ui.query(TERMINATE, run=launched)["__typename"] == "TerminateRunSuccess"
    assert ui.wait_for_run(launched) == "CANCELED", ui.log_tail()
    while (left := rows(engine, WORKING)) or rows(engine, COUNT_ADVISORY_LOCKS) != [(0,)]:
        assert time.monotonic() - started < SOON_S, left
        time.sleep(0.05)
    assert time.monotonic() - started < SOON_S


def run_again(ui: Server, assets: list[str], partition: str | None = "zoo") -> None:
    assert ui.wait_for_run(ui.launch(assets, partition=partition)) == "SUCCESS", ui.log_tail()


def test_embedding_is_cancelled_and_continued(
    slow_model: EmbeddingServer, many_texts: int, zoo: Engine, ui: Server
) -> None:
    launched = ui.launch(["embeddings"], partition="zoo")
    count = "SELECT count(*) FROM rag.embeddings"
    ui.wait_until(lambda: rows(zoo, count) != [(0,)], "stored vectors")
    terminate(ui, zoo, launched)
    [(kept,)] = rows(zoo, count)
    assert 0 < kept < many_texts
    slow_model.behaviours.clear()
    before = rows(zoo, "SELECT content_hash, xmin::text FROM rag.embeddings ORDER BY 1")
    run_again(ui, ["embeddings"])
    assert rows(zoo, count) == [(many_texts,)]
    after = rows(zoo, "SELECT content_hash, xmin::text FROM rag.embeddings ORDER BY 1")
    assert set(before) <= set(after), "what was embedded is not embedded again"


@pytest.fixture
def _slow_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with which the index takes some seconds to build."""
    monkeypatch.setenv("RAG_ASSETS_HNSW_EF_CONSTRUCTION", "800")
    monkeypatch.setenv("RAG_ASSETS_HNSW_M", "32")


@pytest.mark.usefixtures("_slow_index")
def test_an_index_build_is_cancelled_and_repeated(many_texts: int, zoo: Engine, tmp_path: Path) -> None:
    assert run(key="zoo", only=STAGES[:3]).success
    with run_server(("dagster", "dev"), tmp_path / "server.log") as ui:
        launched = ui.launch(["hnsw_index"])
        ui.wait_until(
            lambda: rows(zoo, f"SELECT pid FROM pg_stat_progress_create_index WHERE datid = {THIS_DATABASE}"),
            "index build",
        )
        terminate(ui, zoo, launched)
        indexes = (
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE c.relname LIKE 'ix_embeddings_1_hnsw%'"
        )
        assert rows(zoo, indexes) == []
        run_again(ui, ["hnsw_index"], partition=None)
        assert rows(zoo, indexes) == [(True,)]


def test_a_run_with_hanging_parsers_is_cancelled(zoo: Engine, tmp_path: Path, ui: Server) -> None:
    document = (FILES / "harbour.pdf").read_bytes()
    for number in range(60):
        write(tmp_path / "zoo" / f"{number:02}.pdf", document + b"%%%d" % number)
    launched = ui.launch(["raw_documents"], partition="zoo")
    hanging = ui.wait_until(lambda: [pid for pid in find_parsers() if suspend(pid)], "parser")
    terminate(ui, zoo, launched)
    assert not set(hanging) & set(find_parsers())
    assert rows(zoo, "SELECT error FROM rag.documents WHERE status = 'failed'") == []
    run_again(ui, ["raw_documents"])
    assert rows(zoo, "SELECT status, count(*) FROM rag.documents GROUP BY 1") == [("ok", 60)]


def find_parsers() -> list[int]:
    """The processes that parse documents for this installation."""
    return [pid for pid, command in find_installation_processes().items() if PARSER in command]


def suspend(pid: int) -> bool:
    """Stop a parser with SIGSTOP, so that it seems to hang. Returns whether it still existed."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_in_the_terminal_of_the_server_cancels_runs(many_texts: int, zoo: Engine, ui: Server) -> None:
    launched = ui.launch(["embeddings"], partition="zoo")
    count = "SELECT count(*) FROM rag.embeddings"
    ui.wait_until(lambda: rows(zoo, count) != [(0,)], "stored vectors")
    # A terminal signals all processes of the group. The fixture fails if a process is left.
    os.killpg(ui.process.pid, signal.SIGINT)
    ui.process.wait(SOON_S * 2)
    assert wait_until_processes_end() == {}
    [(kept,)] = rows(zoo, count)
    assert 0 < kept < many_texts
    assert (rows(zoo, COUNT_ADVISORY_LOCKS), rows(zoo, WORKING)) == ([(0,)], [])
    ended = dg.DagsterInstance.get().get_run_by_id(launched)
    assert ended is not None
    assert ended.is_finished
    # Forget the encoders of this process, since the cancelled run was in another process.
    ENCODERS.clear()
    assert run(key="zoo", only=STAGES[:3]).success
    assert rows(zoo, count) == [(many_texts,)]
    assert len(encoder().embedded) == many_texts - kept

"""What is tried again: writes whose connection broke, then steps; never what the caller did wrong, never the model."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, event, text

from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, HashEncoder
from tests.support.runs import COUNT_ADVISORY_LOCKS, add_project, encoder, errors, rows, run
from tests.support.stages import write

STAGES = ("raw_documents", "chunks", "embeddings")


@pytest.fixture
def zoo(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    ENCODERS.clear()
    for number in range(4):
        write(tmp_path / "zoo" / f"{number}.md", f"# Page {number}\n\nThe text of page {number}.\n")
    add_project(engine, "zoo", tmp_path / "zoo")
    return engine


@pytest.fixture
def breaks(admin: Engine) -> Iterator[list[str]]:
    """While it holds the start of a statement, the connection that sends such a one is broken just before, once."""
    wanted: list[str] = []

    def terminate(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if wanted and statement.startswith(wanted[0]):
            wanted.pop()
            pid = connection.connection.driver_connection.info.backend_pid
            with admin.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    event.listen(Engine, "before_cursor_execute", terminate)
    yield wanted
    event.remove(Engine, "before_cursor_execute", terminate)


def retries(result: dg.ExecuteInProcessResult) -> int:
    return sum(found.event_type_value == "STEP_UP_FOR_RETRY" for found in result.all_events)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO rag.documents", "INSERT INTO rag.document_chunks", "INSERT INTO rag.embeddings_"]
)
def test_a_connection_that_breaks_in_a_write_costs_the_transaction_alone(
    zoo: Engine, breaks: list[str], statement: str
) -> None:
    breaks.append(statement)
    result = run(key="zoo", only=STAGES)
    assert breaks == [], "it was broken"
    assert (errors(result), retries(result)) == ([], 0)
    texts = [text for (text,) in rows(zoo, "SELECT DISTINCT chunk_text FROM rag.document_chunks")]
    assert sorted(encoder().embedded) == sorted(texts), "each went through the model once"
    assert rows(zoo, "SELECT count(*) FROM rag.embeddings") == [(len(texts),)]


def test_a_stage_whose_reading_breaks_is_tried_again(zoo: Engine, breaks: list[str]) -> None:
    breaks.append("SELECT rag.documents.file_path")
    result = run(key="zoo", only=["raw_documents"])
    assert breaks == []
    assert (errors(result), retries(result)) == ([], 1)
    assert rows(zoo, "SELECT count(*) FROM rag.documents") == [(4,)]


def test_a_model_that_fails_for_a_moment_is_tried_again(zoo: Engine) -> None:
    failing = [True] * 4

    def fail(_text: str) -> None:
        if failing and failing.pop():
            raise RuntimeError("out of memory")

    ENCODERS[1] = HashEncoder(fault=fail)
    # All four texts fail, one by one after the whole batch: then the model itself is at fault.
    failing += [True] * 4
    result = run(key="zoo", only=STAGES)
    assert errors(result) == []
    assert rows(zoo, "SELECT count(*) FROM rag.embeddings") == [(4,)]


def test_what_the_caller_did_wrong_is_not_tried_again(zoo: Engine, tmp_path: Path) -> None:
    assert errors(run(key="zoo", only=["raw_documents"])) == []
    for path in (tmp_path / "zoo").iterdir():
        path.unlink()
    result = run(key="zoo", only=["raw_documents"])
    assert "--confirm-deletions" in errors(result)[0]
    assert retries(result) == 0


def test_a_second_run_of_a_project_waits_so_long_and_then_says_who_holds_it(
    zoo: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_assets.db.locks import hold_lock

    monkeypatch.setenv("RAG_ASSETS_LOCK_WAIT_S", "0.2")
    with hold_lock(zoo, "raw_documents of zoo", wait_s=1):
        result = run(key="zoo", only=["raw_documents"])
    assert "raw_documents of zoo has been locked by rag_assets (backend" in errors(result)[0]
    assert retries(result) == 0, "it has waited already"
    assert errors(run(key="zoo", only=["raw_documents"])) == []


def test_a_run_that_is_ended_does_not_begin_its_step_anew(zoo: Engine) -> None:
    left = ["once"]

    def end(_text: str) -> None:
        if left:
            left.pop()
            os.kill(os.getpid(), signal.SIGINT)

    ENCODERS[1] = HashEncoder(fault=end)
    result = run(key="zoo", only=[*STAGES, "hnsw_index"])
    assert "DagsterExecutionInterruptedError" in errors(result)[0]
    assert retries(result) == 0
    assert "hnsw_index" not in {event.step_key for event in result.all_events}
    assert rows(zoo, COUNT_ADVISORY_LOCKS) == [(0,)]
    assert errors(run(key="zoo", only=STAGES)) == []
    assert rows(zoo, "SELECT count(*) FROM rag.embeddings") == [(4,)]

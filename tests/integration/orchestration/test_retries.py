"""Retries: writes after a broken connection, then whole steps; never after usage errors or interrupts."""

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
from tests.support.pipeline.runs import COUNT_ADVISORY_LOCKS, add_project, encoder, errors, failed_checks, rows, run
from tests.support.pipeline.stages import write

STAGES = ("raw_documents", "chunks", "embeddings")


@pytest.fixture
def zoo(settings: Settings, engine: Engine, tmp_path: Path) -> Engine:
    ENCODERS.clear()
    for number in range(4):
        write(tmp_path / "zoo" / f"{number}.md", f"# Page {number}\n\nThe text of page {number}.\n")
    add_project(engine, "zoo", tmp_path / "zoo")
    return engine


@pytest.fixture
def statement_to_break(admin: Engine) -> Iterator[list[str]]:
    """Append the start of a statement: the connection that sends it next is terminated before it, once."""
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
    "statement",
    # Vectors are stored in the statement that removes the earlier failures of their texts.
    ["INSERT INTO rag.documents", "INSERT INTO rag.document_chunks", "WITH incoming AS"],
)
def test_a_broken_connection_in_a_write_repeats_only_the_transaction(
    zoo: Engine, statement_to_break: list[str], statement: str
) -> None:
    statement_to_break.append(statement)
    result = run(key="zoo", only=STAGES)
    assert statement_to_break == [], "the connection was terminated"
    assert (errors(result), retries(result)) == ([], 0)
    texts = [text for (text,) in rows(zoo, "SELECT DISTINCT chunk_text FROM rag.document_chunks")]
    assert sorted(encoder().embedded) == sorted(texts), "each text was embedded once"
    assert rows(zoo, "SELECT count(*) FROM rag.embeddings") == [(len(texts),)]


def test_a_stage_is_retried_after_a_broken_read(zoo: Engine, statement_to_break: list[str]) -> None:
    statement_to_break.append("SELECT rag.documents.file_path")
    result = run(key="zoo", only=["raw_documents"])
    assert statement_to_break == []
    assert (errors(result), retries(result)) == ([], 1)
    assert rows(zoo, "SELECT count(*) FROM rag.documents") == [(4,)]


def test_a_stage_is_retried_after_a_temporary_model_failure(zoo: Engine) -> None:
    failing = [True] * 4

    def fail(_text: str) -> None:
        if failing and failing.pop():
            raise RuntimeError("out of memory")

    ENCODERS[1] = HashEncoder(fault=fail)
    # All four texts fail, first as a batch and then one by one, so the model itself is at fault.
    failing += [True] * 4
    result = run(key="zoo", only=STAGES)
    assert errors(result) == []
    assert rows(zoo, "SELECT count(*) FROM rag.embeddings") == [(4,)]


def test_a_usage_error_is_not_retried(zoo: Engine, tmp_path: Path) -> None:
    assert errors(run(key="zoo", only=["raw_documents"])) == []
    for path in (tmp_path / "zoo").iterdir():
        path.unlink()
    result = run(key="zoo", only=["raw_documents"])
    assert "--confirm-deletions" in errors(result)[0]
    assert retries(result) == 0


def test_a_concurrent_run_of_a_project_waits_and_then_names_the_lock_holder(
    zoo: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag_assets.db.locks import hold_lock

    monkeypatch.setenv("RAG_ASSETS_LOCK_WAIT_S", "0.2")
    with hold_lock(zoo, "raw_documents of zoo", wait_s=1):
        result = run(key="zoo", only=["raw_documents"])
    assert "raw_documents of zoo has been locked by rag_assets (backend" in errors(result)[0]
    assert retries(result) == 0, "the wait for the lock is not repeated"
    assert errors(run(key="zoo", only=["raw_documents"])) == []


def test_an_interrupted_run_does_not_retry_its_step(zoo: Engine) -> None:
    interrupts = ["once"]

    def end(_text: str) -> None:
        if interrupts:
            interrupts.pop()
            os.kill(os.getpid(), signal.SIGINT)

    ENCODERS[1] = HashEncoder(fault=end)
    result = run(key="zoo", only=[*STAGES, "hnsw_index"])
    assert "DagsterExecutionInterruptedError" in errors(result)[0]
    assert retries(result) == 0
    assert "hnsw_index" not in {event.step_key for event in result.all_events}
    assert rows(zoo, COUNT_ADVISORY_LOCKS) == [(0,)]
    assert errors(run(key="zoo", only=STAGES)) == []
    assert rows(zoo, "SELECT count(*) FROM rag.embeddings") == [(4,)]


@pytest.mark.parametrize("statement", ["SELECT count(", "SELECT rag.embedding_spaces", "SELECT rag.projects"])
def test_checks_are_repeated_after_a_broken_connection(
    built: Engine, statement_to_break: list[str], statement: str
) -> None:
    statement_to_break.append(statement)
    result = run("checks")
    assert statement_to_break == []
    assert (errors(result), failed_checks(result)) == ([], {})


def test_checks_report_a_connection_that_does_not_come_back(
    built: Engine, statement_to_break: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_RETRY_S", "0")
    statement_to_break.append("SELECT rag.embedding_spaces")
    result = run("checks")
    failed = [found for found in result.get_asset_check_evaluations() if not found.passed]
    assert failed
    assert all("could not be run" in (found.description or "") for found in failed)

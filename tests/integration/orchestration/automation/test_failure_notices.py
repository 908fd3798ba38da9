"""Notices of failed runs: the job, its projects, the reasons and the next step."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine

from rag_assets.errors import BusyError, UsageError
from rag_assets.orchestration.automation.failure_notices import FailureNotice, build_notice, send_notice
from rag_assets.orchestration.scope import PipelineScope
from rag_assets.orchestration.storage.pool_claims import PoolWaitingEventLog
from rag_assets.settings.settings import Settings, load_settings
from tests.support.orchestration.dagster_homes import needs_custom_storage
from tests.support.pipeline.runs import SENSORS, add_project, run
from tests.support.pipeline.stages import write

NOTICE = FailureNotice("ingest", "run-1", ["zoo"], {"raw_documents": "the folder is away"}, "Mend it.")


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a server that accepts JSON, and the payloads that it has received."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    thread.join()
    server.server_close()


def failed_context(result: dg.ExecuteInProcessResult) -> dg.RunFailureSensorContext:
    instance = dg.DagsterInstance.get()
    event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    found = instance.get_run_by_id(result.run_id)
    assert found is not None
    return dg.build_run_status_sensor_context(
        sensor_name="failed_runs", dagster_event=event, dagster_instance=instance, dagster_run=found
    ).for_run_failure()


def test_the_notice_of_a_failed_run_has_projects_reasons_and_advice(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, webhook: tuple[str, list[Any]]
) -> None:
    for name in ("alpha", "zoo"):
        write(tmp_path / name / "a.md", "text")
        add_project(engine, name, tmp_path / name)
    (tmp_path / "zoo").rename(tmp_path / "away")
    address, received = webhook
    monkeypatch.setenv("RAG_ASSETS_NOTIFY", address)
    context = failed_context(run(keys=["alpha", "zoo"], only=["raw_documents"]))
    SENSORS["failed_runs"](context)
    [payload] = received
    assert (payload["job"], payload["projects"]) == ("ingest", ["alpha", "zoo"])
    assert "raw_documents failed for project zoo: " in payload["reasons"]["project_checks"]
    assert "cannot be opened" in payload["text"]
    assert "run again" in payload["text"]
    assert str(build_notice(context, PipelineScope())) == payload["text"]


def test_the_notice_of_one_failed_project_has_its_error(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    add_project(engine, "zoo", tmp_path / "nowhere")
    found = build_notice(failed_context(run(key="zoo", only=["raw_documents"])), PipelineScope())
    assert found.projects == ["zoo"]
    assert found.reasons["raw_documents"].startswith("the folder or file")


@needs_custom_storage
def test_an_error_between_steps_is_the_reason_of_the_run(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_busy(_pool: str) -> None:
        raise BusyError("embedder is in other hands.")

    @dg.op(pool="embedder")
    def waiting_op() -> None: ...

    @dg.job(executor_def=dg.in_process_executor)
    def waiting_job() -> None:
        waiting_op()

    instance = dg.DagsterInstance.get()
    storage = instance.event_log_storage
    assert isinstance(storage, PoolWaitingEventLog)
    storage.initialize_concurrency_limit_to_default("embedder")
    assert storage.claim_concurrency_slot("embedder", "another run", "its step").is_claimed
    monkeypatch.setattr(storage, "on_wait", raise_busy)
    result = waiting_job.execute_in_process(instance=instance, raise_on_error=False)
    assert build_notice(failed_context(result), PipelineScope()).reasons == {"run": "embedder is in other hands."}


def test_a_notice_function_is_called_with_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[FailureNotice] = []
    module = ModuleType("our_notices")
    module.tell = received.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "our_notices", module)
    send_notice("our_notices:tell", NOTICE)
    assert received == [NOTICE]
    for wrong in ("our_notices:shout", "nobody_has_this:tell", "nonsense"):
        with pytest.raises(UsageError, match=f"'{wrong}' cannot be imported"):
            send_notice(wrong, NOTICE)


@pytest.mark.parametrize("wrong", ["nonsense", "ftp://example.org", "our.module", ":tell"])
def test_an_invalid_notification_target_is_refused_on_loading_settings(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ASSETS_NOTIFY", wrong)
    with pytest.raises(UsageError, match="RAG_ASSETS_NOTIFY: neither a URL") as refused:
        load_settings()
    assert wrong not in str(refused.value), "a webhook address is a secret"

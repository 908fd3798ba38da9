"""A promotion waits for the work of other runs in progress, and for nothing else."""

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from rag_assets.db.locks import hold_lock
from rag_assets.db.spaces.spaces import ensure_space
from rag_assets.errors import IntegrityError, ServiceError
from rag_assets.pipeline.audit import latency
from rag_assets.pipeline.stages import concurrent_runs
from tests.support.pipeline.stages import Steps, write


@pytest.fixture
def folders(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two projects: one is complete; the other has documents and no chunks yet."""
    monkeypatch.setattr(latency, "MEASURED_VECTORS", 50)
    for name in ("whole", "begun"):
        write(tmp_path / name / "a.md", f"The text of {name}.")
        steps.project(name, tmp_path / name)
    steps.all("whole")
    steps.documents("begun")


def test_the_first_promotion_waits_for_a_run_between_two_steps(steps: Steps, folders: None) -> None:
    def continue_run() -> None:
        time.sleep(0.5)
        steps.chunks("begun")
        time.sleep(0.5)
        steps.embeddings("begun")

    other = threading.Thread(target=continue_run)
    other.start()
    figures = steps.live()
    other.join()
    assert (figures["promoted"], figures["dagster/row_count"]) == (True, 2)


def test_a_promotion_without_runs_in_progress_is_refused_immediately(
    steps: Steps, folders: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.chunks("begun")
    monkeypatch.setattr(concurrent_runs, "BETWEEN_STEPS", timedelta())
    with pytest.raises(IntegrityError, match="texts_have_vectors: 1 of 2 distinct texts have no vector"):
        steps.live()


def test_the_wait_for_a_lock_is_limited_by_the_settings(
    steps: Steps, folders: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.chunks("begun")
    monkeypatch.setattr(concurrent_runs, "BETWEEN_STEPS", timedelta())
    steps.settings = steps.settings.model_copy(update={"lock_wait_s": 1.0})
    with hold_lock(steps.engine, "chunks of begun", wait_s=0):
        started = time.monotonic()
        with pytest.raises(IntegrityError, match="does not serve yet"):
            steps.live()
        assert time.monotonic() - started >= 1.0


def test_a_promotion_does_not_wait_for_texts_that_the_model_refused(steps: Steps, folders: None) -> None:
    with steps.engine.begin() as connection:
        space = ensure_space(connection, steps.target.definition)
    steps.chunks("begun")
    assert concurrent_runs.concurrent_runs_work(steps.engine, space)
    steps.encoder(space).fault = lambda text: [float("nan")] * space.dimensions
    with pytest.raises(ServiceError, match="fix the model"):
        steps.embeddings("begun")
    assert not concurrent_runs.concurrent_runs_work(steps.engine, space)
    with pytest.raises(IntegrityError, match="texts_have_vectors"):
        steps.live()

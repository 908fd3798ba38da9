"""Progress of long work: the amount done, the rate, and the time left."""

import pytest

from rag_assets.pipeline.progress import ProgressLog, progress_listener, report_progress


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time in seconds; tests set its only item."""
    time = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: time[0])
    return time


def test_a_line_has_the_amount_done_the_rate_and_the_time_left(now: list[float]) -> None:
    lines: list[str] = []
    with progress_listener(ProgressLog(lines.append, every_s=5)):
        for done in range(0, 1_300, 100):
            report_progress("embeddings", done, 2_000, "texts")
            now[0] += 1
    assert lines == [
        "embeddings: 500 of 2,000 texts, 100.0/s, 15 s left",
        "embeddings: 1,000 of 2,000 texts, 100.0/s, 10 s left",
    ]


def test_work_of_unknown_length_has_no_time_left(now: list[float]) -> None:
    lines: list[str] = []
    with progress_listener(ProgressLog(lines.append, every_s=5)):
        report_progress("seed", 0, None, "users")
        now[0] += 10
        report_progress("seed", 50, None, "users")
    assert lines == ["seed: 50 users, 5.0/s"]


def test_each_project_of_a_run_is_counted_separately(now: list[float]) -> None:
    lines: list[str] = []
    with progress_listener(ProgressLog(lines.append, every_s=5)):
        for done, total in ((0, 900), (900, 900), (10, 50), (30, 50)):
            report_progress("chunks", done, total, "documents")
            now[0] += 10
    assert lines == [
        "chunks: 900 of 900 documents, 90.0/s, 0 s left",
        "chunks: 10 of 50 documents, 0.0/s",
        "chunks: 30 of 50 documents, 2.0/s, 10 s left",
    ]


def test_a_removed_listener_receives_nothing() -> None:
    lines: list[str] = []
    with progress_listener(ProgressLog(lines.append, every_s=0)):
        report_progress("chunks", 1, 2, "documents")
    report_progress("chunks", 2, 2, "documents")
    assert len(lines) == 1

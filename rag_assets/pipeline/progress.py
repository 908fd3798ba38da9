"""Progress of long work: stages report it, listeners (the log, the terminal) show it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """`done` of `total` units; `total` is None when it is not known."""

    stage: str
    done: int
    total: int | None
    unit: str


class ProgressListener(Protocol):
    def __call__(self, report: ProgressReport, /) -> None: ...


_listeners: list[ProgressListener] = []


def report_progress(stage: str, done: int, total: int | None, unit: str) -> None:
    """Tell every listener of this process; with none, it costs nothing."""
    for listener in tuple(_listeners):
        listener(ProgressReport(stage, done, total, unit))


@contextmanager
def progress_listener(listener: ProgressListener) -> Iterator[None]:
    """Call the listener for every report made inside this context, by any thread."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class ProgressLog:
    """A listener that logs at most one line every few seconds: amount done, rate, time left."""

    def __init__(self, log: Callable[[str], None], *, every_s: float = 5.0) -> None:
        self._log = log
        self._every_s = every_s
        # By stage: when counting started, at which number, and the last number.
        self._started: dict[str, tuple[float, int, int]] = {}
        self._last_line = time.monotonic()

    def __call__(self, report: ProgressReport) -> None:
        now = time.monotonic()
        started, first, last = self._started.get(report.stage, (now, report.done, report.done))
        if report.done < last:
            # The next project counts from the start.
            started, first = now, report.done
        self._started[report.stage] = started, first, report.done
        if now - self._last_line < self._every_s:
            return
        self._last_line = now
        rate = (report.done - first) / (now - started) if now > started else 0.0
        left = f", {(report.total - report.done) / rate:.0f} s left" if report.total and rate else ""
        of = f" of {report.total:,}" if report.total else ""
        self._log(f"{report.stage}: {report.done:,}{of} {report.unit}, {rate:.1f}/s{left}")

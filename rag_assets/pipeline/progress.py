"""Progress of long work: stages report, whoever listens (log, terminal) shows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of `total` units; `total` is None while it is not known."""

    stage: str
    done: int
    total: int | None
    unit: str


class Listener(Protocol):
    def __call__(self, step: Step, /) -> None: ...


_listeners: list[Listener] = []


def report(stage: str, done: int, total: int | None, unit: str) -> None:
    """Tell all listeners; costs nothing when there are none."""
    for listener in tuple(_listeners):
        listener(Step(stage, done, total, unit))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class LogLines:
    """A listener that logs at most one line every few seconds: done, rate, time left."""

    def __init__(self, log: Callable[[str], None], *, every_s: float = 5.0) -> None:
        self._log = log
        self._every_s = every_s
        # By stage: when what is counted was begun, at which number, and the last one.
        self._begun: dict[str, tuple[float, int, int]] = {}
        self._last = time.monotonic()

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        begun, first, last = self._begun.get(step.stage, (now, step.done, step.done))
        if step.done < last:
            # The next project, which begins anew.
            begun, first = now, step.done
        self._begun[step.stage] = begun, first, step.done
        if now - self._last < self._every_s:
            return
        self._last = now
        rate = (step.done - first) / (now - begun) if now > begun else 0.0
        left = f", {(step.total - step.done) / rate:.0f} s left" if step.total and rate else ""
        of = f" of {step.total:,}" if step.total else ""
        self._log(f"{step.stage}: {step.done:,}{of} {step.unit}, {rate:.1f}/s{left}")

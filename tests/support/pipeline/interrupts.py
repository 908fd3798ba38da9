"""Interrupt the main thread by a signal, as Dagster interrupts a run."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """Like Dagster's own interrupt it is not an Exception, so that no library handles it."""


@contextmanager
def interrupt_when(when: Callable[[], object]) -> Iterator[None]:
    """Raise Interrupted in the main thread, which must be this one, when `when` returns in another thread."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    def wait() -> None:
        when()
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield
    finally:
        waiting.join()
        signal.signal(signal.SIGUSR1, before)

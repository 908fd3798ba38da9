"""Produce the next item of a stream while the last one is used: the model runs while the database writes."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from rag_assets.pipeline.progress import ProgressReport, progress_listener

T = TypeVar("T")

# How long a closed stream waits for its producer. What cannot be interrupted (loading a model, reading from a server
# that does not answer) goes on in the background until it returns or the process ends.
GRACE_S = 3.0

_log = logging.getLogger(__name__)


class _Stopped(BaseException):
    """Raised in the producer when its consumer is gone. Not an Exception: a project must not count as failed by it."""


class _StopSignal:
    """Tells the producer to stop; the callbacks wake it from whatever it is waiting for."""

    def __init__(self) -> None:
        self.sent = threading.Event()
        self.callbacks: list[Callable[[], object]] = []

    def send(self) -> None:
        self.sent.set()
        for callback in tuple(self.callbacks):
            callback()


_producer = threading.local()


@contextmanager
def on_stop(callback: Callable[[], object]) -> Iterator[None]:
    """Inside this context, closing the stream that this thread produces calls `callback`, in the consumer's thread."""
    signal: _StopSignal | None = getattr(_producer, "stop_signal", None)
    if signal is None:
        yield
        return
    signal.callbacks.append(callback)
    try:
        yield
    finally:
        signal.callbacks.remove(callback)


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T]) -> Generator[T, None, None]:
    """Run `items` in its own thread, exactly one item ahead: production of the next starts when one has been taken.

    A crash therefore loses at most the item in use and the item in production, and while an item is produced, all
    items but the one before it have been used. An error of the producer is raised here, after the items before it.
    Closing this generator (or an error in its consumer) stops the producer where it next reports progress, at its
    next item at the latest, and closes it, which releases its locks and cursors.
    """
    produced: SimpleQueue[T | _End] = SimpleQueue()
    wanted = threading.Semaphore(1)
    signal = _StopSignal()

    def stop_if_told(_report: ProgressReport) -> None:
        if signal.sent.is_set() and threading.current_thread() is thread:
            raise _Stopped

    def produce() -> None:
        _producer.stop_signal = signal
        try:
            wanted.acquire()
            with progress_listener(stop_if_told):
                for item in items:
                    produced.put(item)
                    wanted.acquire()
                    if signal.sent.is_set():
                        break
        except BaseException as error:
            produced.put(_End(error))
        else:
            produced.put(_End())
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := produced.get(), _End):
            wanted.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        signal.send()
        wanted.release()
        thread.join(GRACE_S)
        if thread.is_alive():
            _log.info("the producer of a stream did not stop within %g s; it ends in the background", GRACE_S)

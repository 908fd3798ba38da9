"""Let the maker of a stream work while its last item is used: the model runs while the database writes."""

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from rag_assets.pipeline.progress import Step, listening

T = TypeVar("T")

# How long the maker may take to let go. What cannot be stopped (a model that is being loaded, a read from a server that
# does not answer) goes on without its user, and ends with the process or when it comes back.
GRACE_S = 3.0

_log = logging.getLogger(__name__)


class _Stopped(BaseException):
    """Raised in the maker: its user is gone. Not an Exception, which would be a failure of the project in hand."""


class _Stopping:
    """Where the maker learns that it is to stop; `acts` wake it from what it waits for."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.acts: list[Callable[[], object]] = []

    def stop(self) -> None:
        self.told.set()
        for act in tuple(self.acts):
            act()


_making = threading.local()


@contextmanager
def when_stopped(act: Callable[[], object]) -> Iterator[None]:
    """Meanwhile, whoever stops the stream that this thread makes calls `act`, in a thread of his."""
    stopping: _Stopping | None = getattr(_making, "stopping", None)
    if stopping is None:
        yield
        return
    stopping.acts.append(act)
    try:
        yield
    finally:
        stopping.acts.remove(act)


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T]) -> Generator[T, None, None]:
    """Run `items` in a thread of its own, exactly one item ahead: the next is begun when one has been taken.

    So what is lost at a crash is one item in use and one in the making, and an item that is being made can count on
    all but the one before it being used up. An error in the maker is raised here, after the items before it. Closing
    this generator (or an error in its user) stops the maker where it next reports progress, at its next item at the
    latest, and closes it, so that what it holds (locks, cursors) is let go.
    """
    made: SimpleQueue[T | _End] = SimpleQueue()
    wanted = threading.Semaphore(1)
    stopping = _Stopping()

    def look(_step: Step) -> None:
        if stopping.told.is_set() and threading.current_thread() is maker:
            raise _Stopped

    def make() -> None:
        _making.stopping = stopping
        try:
            wanted.acquire()
            with listening(look):
                for item in items:
                    made.put(item)
                    wanted.acquire()
                    if stopping.told.is_set():
                        break
        except BaseException as error:
            made.put(_End(error))
        else:
            made.put(_End())
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    maker = threading.Thread(target=make, name="prefetch", daemon=True)
    maker.start()
    try:
        while not isinstance(item := made.get(), _End):
            wanted.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopping.stop()
        wanted.release()
        maker.join(GRACE_S)
        if maker.is_alive():
            _log.info("what was being made could not be stopped within %g s; it is left to end by itself", GRACE_S)

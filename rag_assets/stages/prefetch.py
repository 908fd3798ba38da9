"""Let the maker of a stream work while its last item is used: the model runs while the database writes."""

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T]) -> Generator[T, None, None]:
    """Run `items` in a thread of its own, exactly one item ahead: the next is begun when one has been taken.

    So what is lost at a crash is one item in use and one in the making, and an item that is being made can count on
    all but the one before it being used up. An error in the maker is raised here, after the items before it. Closing
    this generator (or an error in its user) stops the maker at its next item and closes it, so that what it holds
    (locks, cursors) is let go.
    """
    made: SimpleQueue[T | _End] = SimpleQueue()
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def make() -> None:
        try:
            wanted.acquire()
            for item in items:
                made.put(item)
                wanted.acquire()
                if stopped.is_set():
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
        stopped.set()
        wanted.release()
        maker.join()

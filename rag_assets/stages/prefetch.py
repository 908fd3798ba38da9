"""Let the maker of a stream work while its last item is used: the model runs while the database writes."""

import threading
from collections.abc import Generator, Iterator
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")

# So many items the maker is ahead; when it is asked for the one after them, what it made before is used up.
DEPTH = 1


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T], *, depth: int = DEPTH) -> Generator[T, None, None]:
    """Run `items` in a thread of its own, at most `depth` items ahead.

    An error in the maker is raised here, after the items before it. Closing this generator (or an error in its
    user) stops the maker at its next item and closes it, so that what it holds (locks, cursors) is let go.
    """
    queue: Queue[T | _End] = Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=0.1)
            except Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as error:
            put(_End(error))
        else:
            put(_End())
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    maker = threading.Thread(target=make, name="prefetch", daemon=True)
    maker.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        maker.join()

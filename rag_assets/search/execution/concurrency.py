"""How a search waits, works and starts background work: in a thread of its own, or in an event loop."""

import _thread
import contextvars
import time
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rag_assets.db.connections.sqlalchemy_internals import await_, greenlet_spawn

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

P = ParamSpec("P")
R = TypeVar("R")

_MOST_WAITING = 64
_BACKGROUND_TASKS: "set[asyncio.Task[None]]" = set()


@cache
def _waiting_threads() -> "ThreadPoolExecutor":
    """More threads than a loop's own executor has, which is meant for work on the processors of this machine."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_MOST_WAITING, thread_name_prefix="wait")


class Concurrency:
    """In a thread: waiting and working block it."""

    def run_blocking(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work that keeps a processor busy."""
        return work(*args, **kwargs)

    def run_waiting(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work that waits for another machine."""
        return work(*args, **kwargs)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def start_in_background(self, work: Callable[[], None]) -> None:
        try:
            # threading.Thread.start would wait until the thread runs.
            _thread.start_new_thread(work, ())
        except RuntimeError:
            # No more threads can be started.
            work()


class LoopConcurrency(Concurrency):
    """In an event loop, inside `greenlet_spawn`: work goes to a thread, and the loop serves other tasks meanwhile."""

    def run_blocking(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        return await_(asyncio.to_thread(work, *args, **kwargs))

    def run_waiting(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        context = contextvars.copy_context()
        call = partial(context.run, partial(work, *args, **kwargs))
        return await_(asyncio.get_running_loop().run_in_executor(_waiting_threads(), call))

    def sleep(self, seconds: float) -> None:
        import asyncio

        await_(asyncio.sleep(seconds))

    def start_in_background(self, work: Callable[[], None]) -> None:
        import asyncio

        task = asyncio.get_running_loop().create_task(greenlet_spawn(work))
        # The loop holds only weak references to its tasks.
        _BACKGROUND_TASKS.add(task)
        task.add_done_callback(_BACKGROUND_TASKS.discard)

"""How a search waits: for a model, or for a database to come back; and how it does what it need not wait for.

In an event loop it must not stop the others.
"""

import _thread
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rag_assets.db.connections.sqlalchemy_internals import await_, greenlet_spawn

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")

_TASKS: "set[asyncio.Task[None]]" = set()


class Waiting:
    """In a thread of one's own: just wait."""

    def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work that keeps a processor busy."""
        return work(*args, **kwargs)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def beside(self, work: Callable[[], None]) -> None:
        """Do this while the caller goes on."""
        try:
            # One of the module threading has its maker wait until it runs.
            _thread.start_new_thread(work, ())
        except RuntimeError:
            # There are too many threads already.
            work()


class LoopWaiting(Waiting):
    """In an event loop, inside `greenlet_spawn`: the work goes to a thread, and the loop goes on meanwhile."""

    def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        return await_(asyncio.to_thread(work, *args, **kwargs))

    def sleep(self, seconds: float) -> None:
        import asyncio

        await_(asyncio.sleep(seconds))

    def beside(self, work: Callable[[], None]) -> None:
        import asyncio

        task = asyncio.get_running_loop().create_task(greenlet_spawn(work))
        # The loop itself does not keep its tasks.
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)

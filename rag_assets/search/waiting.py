"""How a search waits: for a model, or for a database to come back. In an event loop it must not stop the others."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Waiting:
    """In a thread of one's own: just wait."""

    def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work that keeps a processor busy."""
        return work(*args, **kwargs)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class LoopWaiting(Waiting):
    """Inside `greenlet_spawn`, on an event loop: the work goes to a thread, and the loop goes on meanwhile."""

    def run(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        import asyncio

        from sqlalchemy.util import await_

        return await_(asyncio.to_thread(work, *args, **kwargs))

    def sleep(self, seconds: float) -> None:
        import asyncio

        from sqlalchemy.util import await_

        await_(asyncio.sleep(seconds))

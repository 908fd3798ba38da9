"""The bridge from a coroutine into code that is written without await.

What that code waits for, by SQLAlchemy's `await_`, the event loop waits for. SQLAlchemy's own bridge, `greenlet_spawn`,
makes a greenlet for each call, and the memory of its stack with it, which is a tenth of what a search costs its client;
these greenlets serve again and again.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

P = ParamSpec("P")
R = TypeVar("R")

# Idle ones, of each thread; some twenty kilobytes each.
_MOST_IDLE = 100
_DONE = object()


async def run_bridged(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of work that may call `await_`; raises what it raises. A cancelled task interrupts what it awaits."""
    here = getcurrent()
    walker = _IDLE.walkers.pop() if _IDLE.walkers else _Walker()
    walker.parent = here
    walker.gr_context = here.gr_context
    awaited = walker.switch(work, args, kwargs)
    while awaited is not _DONE:
        try:
            value = await awaited
        except BaseException:
            awaited = walker.throw(*sys.exc_info())
        else:
            awaited = walker.switch(value)
    result, error = walker.leave()
    if len(_IDLE.walkers) < _MOST_IDLE:
        _IDLE.walkers.append(walker)
    if error is not None:
        try:
            raise error
        finally:
            # It knows this frame, which is not to know it.
            del error
    return result  # type: ignore[no-any-return]


class _Walker(greenlet):
    """Does one work after the other, and goes back after each."""

    # What `await_` asks for.
    __sqlalchemy_greenlet_provider__ = True

    _result: Any = None
    _error: BaseException | None = None

    def run(self, work: Callable[..., Any], args: Any, kwargs: Any) -> None:
        while True:
            try:
                self._result = work(*args, **kwargs)
            except GreenletExit:
                # Nobody is left who would wait for the end.
                raise
            except BaseException as error:
                self._error = error
            del work, args, kwargs
            assert self.parent is not None
            work, args, kwargs = self.parent.switch(_DONE)

    def leave(self) -> tuple[Any, BaseException | None]:
        """What came of the work, which is not known here any longer, nor the context that it ran in."""
        found = self._result, self._error
        self._result = self._error = None
        self.gr_context = None
        return found


class _Idle(threading.local):
    """A greenlet is at home in one thread."""

    def __init__(self) -> None:
        self.walkers: list[_Walker] = []


_IDLE = _Idle()

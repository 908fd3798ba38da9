"""How many requests are worked on at a time, how many wait, and how many each caller may have."""

import asyncio
from collections import Counter

from rag_assets.errors import RagAssetsError, ServiceError


class TooManyRequestsError(RagAssetsError):
    """A caller has as many requests at a time as one may have."""

    transient = True


class OverloadedError(ServiceError):
    """As many requests wait as may wait."""


class Admission:
    """Lets `running` requests in at a time, in the order in which they came; at most `queue` wait."""

    def __init__(self, *, running: int, queue: int, per_caller: int) -> None:
        self._slots = asyncio.Semaphore(running)
        self._queue = queue
        self._per_caller = per_caller
        self._callers: Counter[str] = Counter()
        self.running = 0
        self.waiting = 0

    async def enter(self, caller: str) -> None:
        """Wait for a turn; raises TooManyRequestsError and OverloadedError. Call `leave` at the end."""
        if self._callers[caller] >= self._per_caller:
            raise TooManyRequestsError(
                f"you have {self._per_caller} requests at a time already, the most that one caller may have; "
                "wait for their answers."
            )
        if self._slots.locked() and self.waiting >= self._queue:
            raise OverloadedError(f"{self.waiting} requests wait already; send this one again a little later.")
        self._callers[caller] += 1
        self.waiting += 1
        try:
            await self._slots.acquire()
        except BaseException:
            self._forget(caller)
            raise
        finally:
            self.waiting -= 1
        self.running += 1

    def leave(self, caller: str) -> None:
        self.running -= 1
        self._slots.release()
        self._forget(caller)

    def _forget(self, caller: str) -> None:
        self._callers[caller] -= 1
        if not self._callers[caller]:
            del self._callers[caller]

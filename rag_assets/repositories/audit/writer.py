"""Write the audit in the background: no answer waits for it."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from sqlalchemy import Engine

from rag_assets.errors import RagAssetsError
from rag_assets.repositories.audit.entries import DROPPED, AuditedRequest, write_entries
from rag_assets.repositories.base import translate_errors

# Requests that wait for being written; more are dropped, and counted.
QUEUE = 10_000
BATCH = 1_000
# Longest time for which a request waits, and between two attempts while the database is away.
EVERY_S = 1.0
_LOG = logging.getLogger("rag_assets.audit")


class AuditWriter:
    """Takes requests from any thread without waiting, and writes them in a thread of its own, which the first starts.

    What finds no place, or cannot be written at the end, is lost: `dropped` counts it, a warning says it, and the next
    entry that is written, too.
    """

    def __init__(self, engine: Callable[[], Engine], *, queue: int = QUEUE) -> None:
        """`engine` is asked in the thread, since it may have to connect."""
        self._engine = engine
        self._is_failing = False
        self._limit = queue
        self._waiting: deque[AuditedRequest] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._unsaid = 0
        self.dropped = 0

    def record(self, request: AuditedRequest) -> None:
        with self._lock:
            if self._closing or len(self._waiting) >= self._limit:
                self.dropped += 1
                self._unsaid += 1
                return
            self._waiting.append(request)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
        if len(self._waiting) >= BATCH:
            self._wake.set()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, for so long at most."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(timeout_s)
        lost = len(self._waiting)
        if lost:
            _LOG.warning("%d entries of the audit are lost: the database did not take them", lost)

    def _run(self) -> None:
        while True:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            done = self._closing
            while self._waiting and self._write():
                pass
            if done:
                return

    def _write(self) -> bool:
        """Write a batch; False while the database does not take it."""
        batch = [self._waiting[at] for at in range(min(BATCH, len(self._waiting)))]
        lost = self._unsaid
        if lost:
            _LOG.warning("%d entries of the audit were dropped: more came than could be written", lost)
            batch.append(AuditedRequest("audit", DROPPED, "", "", hits=lost))
        try:
            with translate_errors(), self._engine().begin() as connection:
                write_entries(connection, batch)
        except RagAssetsError as error:
            if not self._is_failing:
                _LOG.warning("the audit cannot be written now: %s", error)
            self._is_failing = True
            return False
        self._is_failing = False
        with self._lock:
            self._unsaid -= lost
            for _ in range(len(batch) - bool(lost)):
                self._waiting.popleft()
        return True

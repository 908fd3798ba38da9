"""How the page of a run sees new events: by reading the event log at intervals."""

import threading
from collections.abc import Callable
from contextlib import suppress

import dagster as dg
from sqlalchemy.exc import OperationalError

from rag_assets.orchestration.storage.dagster_sqlite import ExtensibleEventLog, event_reader

POLL_INTERVAL_S = 0.5

EventCallback = Callable[[dg.EventLogEntry, str], None]


class PollingEventLog(ExtensibleEventLog):
    """Reads the events of watched runs every POLL_INTERVAL_S.

    Dagster waits until the file changes. But while a connection is open, new events are in SQLite's write-ahead log
    beside it, and that changes a moment before they can be read.
    """

    def __init__(self, base_dir: str) -> None:
        self._polls: dict[tuple[str, EventCallback], _Poll] = {}
        super().__init__(base_dir)

    def watch(self, run_id: str, cursor: str | None, callback: EventCallback) -> None:
        self._polls[run_id, callback] = _Poll(event_reader(self, run_id, cursor, callback))

    def end_watch(self, run_id: str, handler: EventCallback) -> None:
        poll = self._polls.pop((run_id, handler), None)
        if poll is not None:
            poll.end()

    def end_watches(self) -> None:
        for poll in self._polls.values():
            poll.end()


class _Poll:
    def __init__(self, read: Callable[[], None]) -> None:
        self._read = read
        self._ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(POLL_INTERVAL_S):
            # A file that is locked now can be read next time.
            with suppress(OperationalError):
                self._read()

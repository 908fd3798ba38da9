"""How the page of a run hears what goes on in it: by looking, since the file itself tells nothing."""

import threading
from collections.abc import Callable
from contextlib import suppress

from dagster import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    SqliteEventLogStorage,
    SqliteEventLogStorageWatchdog,
)
from sqlalchemy.exc import OperationalError

LOOK_S = 0.5


class RegularLooks(SqliteEventLogStorage):
    """Looks for new events every LOOK_S.

    Dagster waits for the file to change. As long as somebody has it open, what is new is in SQLite's log beside it; and
    that changes a moment before what is new can be read.
    """

    def watch(self, run_id: str, cursor: str | None, callback: Callable[[EventLogEntry, str], None]) -> None:
        log = SqliteEventLogStorageWatchdog(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = _Watch(log._process_log)

    def end_watch(self, run_id: str, handler: Callable[[EventLogEntry, str], None]) -> None:
        watch = self._watchers[run_id].pop(handler, None)
        if watch is not None:
            watch.end()

    def end_watches(self) -> None:
        for watched in self._watchers.values():
            for watch in watched.values():
                watch.end()


class _Watch:
    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            # What cannot be read now, since it is locked, can be at the next look.
            with suppress(OperationalError):
                self._look()

"""How a step waits for a place in a pool: without taking a core, and with an ear for whoever ends its run."""

import time
from collections.abc import Callable

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._utils.concurrency import ConcurrencyClaimStatus
from dagster._utils.interrupts import pop_captured_interrupt

from rag_assets.orchestration.storage.dead_runs import close_dead_runs

PAUSE_S = 0.5


class PatientClaims(SqliteEventLogStorage):
    """Waits where Dagster 1.13's executor in process asks again and again, all of the time and deaf to interrupts."""

    # Called with the pool at each look at it that finds no place; what it raises ends the run.
    on_wait: Callable[[str], None] | None = None

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        status: ConcurrencyClaimStatus = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
        if status.is_claimed:
            return status
        time.sleep(PAUSE_S)
        # Whoever has the place may have been killed meanwhile, and there need not be a daemon that sees it.
        close_dead_runs(self._instance)
        if self.on_wait is not None:
            self.on_wait(concurrency_key)
        if pop_captured_interrupt():
            raise dg.DagsterExecutionInterruptedError
        waited: ConcurrencyClaimStatus = status.with_sleep_interval(0.0)
        return waited

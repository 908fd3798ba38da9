"""How a step waits for a slot in a concurrency pool: by polling, until it gets one or its run is cancelled."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rag_assets.orchestration.storage.dagster_internals import raise_interrupt
from rag_assets.orchestration.storage.dagster_sqlite import ExtensibleEventLog
from rag_assets.orchestration.storage.dead_runs import close_dead_runs

if TYPE_CHECKING:
    from rag_assets.orchestration.storage.dagster_sqlite import ConcurrencyClaimStatus

POLL_INTERVAL_S = 0.5


class PoolWaitingEventLog(ExtensibleEventLog):
    """Pauses between claims of a pool's slot, and ends the wait when the run is interrupted.

    Dagster 1.13's in-process executor claims in a loop without a pause, which ignores interrupts.
    """

    # Called with the pool after each claim that failed; what it raises ends the run.
    on_wait: Callable[[str], None] | None = None

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> "ConcurrencyClaimStatus":
        status: ConcurrencyClaimStatus = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
        if status.is_claimed:
            return status
        time.sleep(POLL_INTERVAL_S)
        # The run that holds the slot may have been killed, and there may be no daemon that frees it.
        close_dead_runs(self.instance)
        if self.on_wait is not None:
            self.on_wait(concurrency_key)
        raise_interrupt()
        waited: ConcurrencyClaimStatus = status.with_sleep_interval(0.0)
        return waited

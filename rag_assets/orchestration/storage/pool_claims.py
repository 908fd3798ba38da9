"""How a step waits for a slot in a concurrency pool: by polling, until it gets one or its run is cancelled."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rag_assets.orchestration.storage.dagster_internals import raise_interrupt
from rag_assets.orchestration.storage.dead_runs import close_dead_runs

if TYPE_CHECKING:
    import dagster as dg

    from rag_assets.orchestration.storage.dagster_internals import ConcurrencyClaimStatus
    from rag_assets.orchestration.storage.dagster_internals import EventLogStorage as _Base
else:
    _Base = object

POLL_INTERVAL_S = 0.5


class PoolWaitingEventLog(_Base):
    """Pauses between claims of a pool's slot, and ends the wait when the run is interrupted: put before an event log.

    Dagster 1.13's in-process executor claims in a loop without a pause, which ignores interrupts.
    """

    if TYPE_CHECKING:

        @property
        def instance(self) -> dg.DagsterInstance: ...

    # Called with the pool after each claim that failed; what it raises ends the run.
    on_wait: Callable[[str], None] | None = None

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> "ConcurrencyClaimStatus":
        status: ConcurrencyClaimStatus = super().claim_concurrency_slot(  # type: ignore[safe-super]
            concurrency_key, run_id, step_key, priority
        )
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

    def get_maximum_record_id(self) -> int:
        """-1 before the first event, where Dagster returns None.

        With None, a tick of automation would know no runs at the next tick, and what an installation's first run makes
        would be made again by other runs.
        """
        latest = super().get_maximum_record_id()
        return -1 if latest is None else latest

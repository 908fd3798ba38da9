"""The run launcher of dagster.yaml: sends runs to `rag-assets worker`, and tells runs whose worker is gone."""

import threading
import time
from typing import TYPE_CHECKING, Any

from rag_assets.orchestration.workers.broker import QUEUE, broker_address, celery_config, create_missing_queues
from rag_assets.orchestration.workers.dagster_launcher import (
    CheckRunHealthResult,
    ExtensibleCeleryLauncher,
    WorkerStatus,
)
from rag_assets.orchestration.workers.leases import is_leased, lease_engine
from rag_assets.settings.settings import load_settings

if TYPE_CHECKING:
    import dagster as dg

    from rag_assets.orchestration.workers.dagster_launcher import LaunchRunContext

# How long a run may be without a lease: its worker may have lost its connection, which it opens again.
LEASE_GRACE_S = 15.0


class WorkerRunLauncher(ExtensibleCeleryLauncher):
    """Celery's results are not asked: a killed worker leaves none. The lease of a run ends with its worker.

    Dagster's run monitoring marks the run as failed then, and its run retries start it again.
    """

    def __init__(self, inst_data: Any = None) -> None:
        settings = load_settings()
        super().__init__(
            QUEUE, broker=broker_address(settings), config_source=celery_config(settings), inst_data=inst_data
        )
        self._leases = lease_engine(settings)
        self._without_lease: dict[str, float] = {}
        self._has_queue = False
        self._lock = threading.Lock()

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "WorkerRunLauncher":  # noqa: ARG003
        return cls(inst_data)

    @property
    def supports_resume_run(self) -> bool:
        """A run in one process cannot be resumed in another; a new run repeats its unfinished steps."""
        return False

    def launch_run(self, context: "LaunchRunContext") -> None:
        with self._lock:
            if not self._has_queue:
                create_missing_queues(load_settings())
                self._has_queue = True
        super().launch_run(context)

    def check_run_worker_health(self, run: "dg.DagsterRun") -> CheckRunHealthResult:
        if is_leased(self._leases, run.run_id):
            with self._lock:
                self._without_lease.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        with self._lock:
            since = self._without_lease.setdefault(run.run_id, time.monotonic())
            if time.monotonic() - since < LEASE_GRACE_S:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            del self._without_lease[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, "The worker of the run is gone.")

    def terminate(self, run_id: str) -> bool:
        """Mark the run as canceling, which its worker notices within seconds: not every broker takes messages back."""
        run = self.instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self.instance.report_run_canceling(run)
        return True

    def get_run_worker_debug_info(self, run: "dg.DagsterRun", include_container_logs: bool | None = True) -> str | None:  # noqa: ARG002
        return None

    def dispose(self) -> None:
        super().dispose()
        self._leases.dispose()

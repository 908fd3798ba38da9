"""One worker: a Celery process that takes runs from the broker and executes them."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rag_assets.orchestration.workers.broker import QUEUE, broker_address, celery_config, create_missing_queues
from rag_assets.orchestration.workers.leases import Lease
from rag_assets.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

# The options that people need; the rest is Celery's.
_OPTIONS = ("--without-gossip", "--without-mingle", "-O", "fair", "--loglevel", "WARNING")

_leases: dict[str, Lease] = {}
_log = logging.getLogger(__name__)


def run_worker(settings: Settings, *, name: str, concurrency: int, queues: Sequence[str]) -> None:
    """Take runs until SIGTERM or SIGINT, which let the running ones end; a second SIGINT does not."""
    from celery.signals import task_postrun, task_prerun
    from dagster_celery.make_app import make_app
    from dagster_celery.tasks import create_execute_job_task

    app = make_app(  # type: ignore[no-untyped-call]
        {"broker": broker_address(settings), "config_source": celery_config(settings), "task_default_queue": QUEUE}
    )
    create_execute_job_task(app)
    task_prerun.connect(_begin_lease)
    task_postrun.connect(_end_lease)
    create_missing_queues(settings, queues or [QUEUE])
    names = ",".join(queues or [QUEUE])
    app.worker_main(["--quiet", "worker", "-n", f"{name}@%h", "-c", str(concurrency), "-Q", names, *_OPTIONS])


def limit_pool(instance: "dg.DagsterInstance", pool: str, limit: int) -> None:
    """Limit the steps of the pool over all workers; keeps a limit that is set."""
    storage = instance.event_log_storage
    if all(known.name != pool for known in storage.get_pool_limits()):
        storage.set_concurrency_slots(pool, limit)


def run_of_task(arguments: Mapping[str, Any]) -> str:
    """The id of the run in the packed arguments of dagster-celery's task."""
    packed = arguments["execute_job_args_packed"]
    return str(packed["pipeline_run_id"] if "pipeline_run_id" in packed else packed["run_id"])


def _begin_lease(task_id: str, kwargs: Mapping[str, Any], **_: object) -> None:
    try:
        _leases[task_id] = lease = Lease(load_settings(), run_of_task(kwargs))
        lease.start()
    except Exception:
        # Celery would go on without the lease, and the run would be taken for lost while it works. So the process ends,
        # and the broker gives the run to another worker.
        _log.exception("the run cannot be leased")
        os._exit(1)


def _end_lease(task_id: str, **_: object) -> None:
    lease = _leases.pop(task_id, None)
    if lease is not None:
        lease.end()

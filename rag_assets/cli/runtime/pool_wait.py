"""Waiting for a place in a Dagster pool: the command says for which run, and gives up after a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from rag_assets.cli.runtime.cancellation import INTERRUPTED
from rag_assets.errors import BusyError
from rag_assets.orchestration.storage.dead_runs import PROCESS_TAG

if TYPE_CHECKING:
    import dagster as dg


@contextmanager
def limit_pool_wait(instance: "dg.DagsterInstance", run_id: str, *, wait_s: float) -> Iterator[None]:
    """End a run within the block with a BusyError when it has waited for a pool for `wait_s` seconds."""
    from rag_assets.orchestration.storage.dagster_internals import is_interrupted
    from rag_assets.orchestration.storage.pool_claims import PoolWaitingEventLog

    storage = instance.event_log_storage
    if not isinstance(storage, PoolWaitingEventLog):
        yield
        return
    since: dict[str, float] = {}

    def check_wait(pool: str) -> None:
        run = instance.get_run_by_id(run_id)
        if is_interrupted() and run is not None:
            # No step is running that would report the interrupt.
            instance.report_run_canceling(run, INTERRUPTED)
            return
        if pool not in since:
            since[pool] = time.monotonic()
            typer.echo(f"rag-assets: waiting for {pool}, which is held by {_holders(instance, pool)}", err=True)
        if time.monotonic() - since[pool] >= wait_s:
            raise BusyError(
                f"{pool} has been held by {_holders(instance, pool)} for more than {wait_s:g} s; "
                "wait for that run to end (or terminate it), then run again."
            )

    storage.on_wait = check_wait
    try:
        yield
    finally:
        storage.on_wait = None


def _holders(instance: "dg.DagsterInstance", pool: str) -> str:
    from rag_assets.orchestration.partitions import run_projects

    holders = []
    for run_id in sorted(instance.event_log_storage.get_concurrency_info(pool).active_run_ids):
        run = instance.get_run_by_id(run_id)
        if run is None:
            continue
        keys = ", ".join(run_projects(run, instance) or [])
        process = run.tags.get(PROCESS_TAG, "").split()[1:2]
        holders.append(
            f"the run {run_id} ({run.job_name}{keys and f' of {keys}'}{', process ' + process[0] if process else ''})"
        )
    return " and ".join(holders) or "a run that has just ended"

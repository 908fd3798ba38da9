"""A command whose run waits for its place in a pool says for whom, and does not wait for ever."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from rag_assets.cli.runtime.cancellation import WHY
from rag_assets.errors import BusyError
from rag_assets.orchestration.storage.dead_runs import PROCESS_TAG

if TYPE_CHECKING:
    import dagster as dg


@contextmanager
def waiting(instance: "dg.DagsterInstance", run_id: str, *, wait_s: float) -> Iterator[None]:
    """For as long as this; a pool that has no place for longer is a BusyError, which ends the run."""
    from rag_assets.orchestration.storage.dagster_internals import is_interrupted
    from rag_assets.orchestration.storage.pool_claims import PoolWaitingEventLog

    storage = instance.event_log_storage
    if not isinstance(storage, PoolWaitingEventLog):
        yield
        return
    since: dict[str, float] = {}

    def look(pool: str) -> None:
        run = instance.get_run_by_id(run_id)
        if is_interrupted() and run is not None:
            # No step is at work that would say it.
            instance.report_run_canceling(run, WHY)
            return
        if pool not in since:
            since[pool] = time.monotonic()
            typer.echo(f"rag-assets: waiting for {_holders(instance, pool)}, in whose hands {pool} is", err=True)
        if time.monotonic() - since[pool] >= wait_s:
            raise BusyError(
                f"{pool} is in the hands of {_holders(instance, pool)} for more than {wait_s:g} s; "
                "wait for that run to end (or end it), then run again."
            )

    storage.on_wait = look
    try:
        yield
    finally:
        storage.on_wait = None


def _holders(instance: "dg.DagsterInstance", pool: str) -> str:
    from rag_assets.orchestration.partitions import run_projects

    said = []
    for run_id in sorted(instance.event_log_storage.get_concurrency_info(pool).active_run_ids):
        run = instance.get_run_by_id(run_id)
        if run is None:
            continue
        of = ", ".join(run_projects(run, instance) or [])
        process = run.tags.get(PROCESS_TAG, "").split()[1:2]
        said.append(
            f"the run {run_id} ({run.job_name}{of and f' of {of}'}{', process ' + process[0] if process else ''})"
        )
    return " and ".join(said) or "a run that has just ended"

"""Ctrl-C of a command: its run is cancelled, as one that is terminated in the UI, and has not failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

WHY = "Interrupted at the terminal of its command."


@contextmanager
def cancelling(instance: "dg.DagsterInstance", run_id: str) -> Iterator[None]:
    """Let the run be cancelled by whatever interrupts it, however early; it may not be there yet."""
    import dagster as dg

    # Dagster takes an interrupt for the end of a machine, and the run for failed, unless somebody said before that the
    # run is to end. A step that is interrupted says so before its run ends.
    def listen(event: dg.EventLogEntry) -> None:
        if event.is_dagster_event and _is_interrupt(event.get_dagster_event()):
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status == dg.DagsterRunStatus.STARTED:
                instance.report_run_canceling(run, WHY)

    instance.add_event_listener(run_id, listen)
    try:
        yield
    except KeyboardInterrupt:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, WHY)
        raise


def _is_interrupt(event: "dg.DagsterEvent") -> bool:
    return event.is_step_failure and event.step_failure_data.error_source.name == "INTERRUPT"

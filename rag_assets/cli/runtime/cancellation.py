"""Ctrl-C cancels the run of a command, as terminating it in the UI does; it does not count as failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

INTERRUPTED = "Interrupted at the terminal of its command."


@contextmanager
def cancel_on_interrupt(instance: "dg.DagsterInstance", run_id: str) -> Iterator[None]:
    """Report an interrupt within the block as the cancellation of the run, which need not exist yet."""
    import dagster as dg

    # Dagster takes an interrupt for a machine that shuts down, and marks the run as failed, unless the run is marked
    # as canceling first. The step that is interrupted reports it before its run ends.
    def mark_as_canceling(event: dg.EventLogEntry) -> None:
        if event.is_dagster_event and _is_interrupt(event.get_dagster_event()):
            run = instance.get_run_by_id(run_id)
            if run is not None and run.status == dg.DagsterRunStatus.STARTED:
                instance.report_run_canceling(run, INTERRUPTED)

    instance.add_event_listener(run_id, mark_as_canceling)
    try:
        yield
    except KeyboardInterrupt:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, INTERRUPTED)
        raise


def _is_interrupt(event: "dg.DagsterEvent") -> bool:
    return event.is_step_failure and event.step_failure_data.error_source.name == "INTERRUPT"

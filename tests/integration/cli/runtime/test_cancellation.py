"""A command interrupted before Dagster handles signals leaves no run in progress."""

from uuid import uuid4

import dagster as dg
import pytest

from rag_assets.cli.runtime.cancellation import cancel_on_interrupt
from rag_assets.cli.runtime.installation import instance
from rag_assets.definitions import defs
from rag_assets.settings.settings import Settings

Status = dg.DagsterRunStatus


def interrupt(run_id: str, status: Status | None) -> None:
    """Create the run with this status, unless it is None, and interrupt the command."""
    with cancel_on_interrupt(instance(), run_id):
        if status is not None:
            instance().create_run_for_job(defs.resolve_job_def("ingest"), run_id=run_id, status=status)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.NOT_STARTED, [Status.CANCELED]),
        (Status.STARTED, [Status.CANCELED]),
        (Status.SUCCESS, [Status.SUCCESS]),
        (None, []),
    ],
    ids=["made", "begun", "ended", "not made yet"],
)
def test_a_run_that_has_not_ended_is_cancelled(
    status: Status | None, expected: list[Status], settings: Settings
) -> None:
    run_id = str(uuid4())
    with pytest.raises(KeyboardInterrupt):
        interrupt(run_id, status)
    assert [run.status for run in instance().get_runs()] == expected

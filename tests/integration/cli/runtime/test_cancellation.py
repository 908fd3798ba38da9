"""A command that is interrupted before Dagster has its run in hand leaves no run behind that seems to go on."""

from uuid import uuid4

import dagster as dg
import pytest

from rag_assets.cli.runtime.cancellation import cancel_on_interrupt
from rag_assets.cli.runtime.installation import instance
from rag_assets.definitions import defs
from rag_assets.settings.settings import Settings

Status = dg.DagsterRunStatus


def interrupted(run_id: str, status: Status | None) -> None:
    """The run is made with this status, or none is made, and then the user ends the command."""
    with cancel_on_interrupt(instance(), run_id):
        if status is not None:
            instance().create_run_for_job(defs.resolve_job_def("ingest"), run_id=run_id, status=status)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (Status.NOT_STARTED, [Status.CANCELED]),
        (Status.STARTED, [Status.CANCELED]),
        (Status.SUCCESS, [Status.SUCCESS]),
        (None, []),
    ],
    ids=["made", "begun", "ended", "not made yet"],
)
def test_a_run_that_has_not_ended_is_cancelled(status: Status | None, shown: list[Status], settings: Settings) -> None:
    run_id = str(uuid4())
    with pytest.raises(KeyboardInterrupt):
        interrupted(run_id, status)
    assert [run.status for run in instance().get_runs()] == shown

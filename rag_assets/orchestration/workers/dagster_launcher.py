"""dagster-celery's launcher of runs, with what ours needs of Dagster under public names.

tests/unit/test_private_members.py lists the members that are not public.
"""

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher import LaunchRunContext as LaunchRunContext
from dagster._core.launcher import WorkerStatus as WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher


class ExtensibleCeleryLauncher(CeleryRunLauncher):
    """Sends each run as a task to Celery's broker."""

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

"""What the assets have in common: retries, pools, how backfills run them, when they count as stale."""

import sys
from datetime import timedelta

import dagster as dg

from rag_assets.settings.settings import Settings


class _RetryErrorsOnly(dg.RetryPolicy):
    def calculate_delay(self, attempt_num: int) -> float:
        """Dagster asks for a delay whatever ended the step, also when the run is cancelled: raise that again."""
        error = sys.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return super().calculate_delay(attempt_num)


# A write is repeated by itself when its connection breaks. Retries of a step are for what that leaves: a server or a
# source that is away for longer. They repeat nothing that was committed.
RETRY_POLICY = _RetryErrorsOnly(max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# Dagster runs as many steps of a pool at one time as the pool's limit allows (dagster.yaml, or the UI). Pipelines in
# one code location share the pools, as they share the machine.
EMBEDDER_POOL = "embedder"
INDEX_POOL = "index_build"

# One run for any number of partitions: a partition with nothing to do costs milliseconds, a run of its own seconds.
SINGLE_RUN = dg.BackfillPolicy.single_run()


def projects_backfill(settings: Settings) -> dg.BackfillPolicy:
    """How many projects one run of a backfill takes."""
    return SINGLE_RUN if settings.run_size is None else dg.BackfillPolicy.multi_run(settings.run_size)


def freshness_policy(settings: Settings) -> dg.FreshnessPolicy:
    """For an asset as a whole; the check every_project_fresh looks at each project."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=settings.stale_after_hours))

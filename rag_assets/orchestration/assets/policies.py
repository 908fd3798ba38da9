"""What assets have in common: how they are tried again, how many of them run at one time, how backfills run them."""

import sys
from datetime import timedelta

import dagster as dg

from rag_assets.settings.settings import Settings


class _Retries(dg.RetryPolicy):
    def calculate_delay(self, attempt_num: int) -> float:
        """Asked for whatever ends a step: also for the end of its run, after which Dagster would begin it anew."""
        error = sys.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return super().calculate_delay(attempt_num)


# Writes are done again by themselves where a connection breaks. This is for what is left: a server or a source that is
# away for longer. Nothing that was committed is done twice.
RETRIES = _Retries(max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# Dagster lets as many steps of a pool run at one time as its limit allows: dagster.yaml, or the UI. Pipelines beside
# each other share them, as they share the machine.
EMBEDDER_POOL = "embedder"
INDEX_POOL = "index_build"

# However many partitions, one run: one with nothing to do costs milliseconds, a run of its own seconds.
ONE_RUN = dg.BackfillPolicy.single_run()


def fresh(settings: Settings) -> dg.FreshnessPolicy:
    """Of an asset as a whole; the check every_project_fresh says it of each project."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=settings.stale_after_hours))

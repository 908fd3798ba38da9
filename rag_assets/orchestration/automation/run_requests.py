"""Requests for runs over projects."""

from collections.abc import Collection, Sequence

import dagster as dg

from rag_assets.orchestration.assets.conditions import MAKES_ALL
from rag_assets.orchestration.automation.jobs import INGESTED
from rag_assets.orchestration.partitions import range_tags
from rag_assets.orchestration.scope import Pipeline

Context = dg.ScheduleEvaluationContext | dg.SensorEvaluationContext


def stretches(keys: Sequence[str], wanted: Collection[str]) -> list[tuple[str, str]]:
    """The wanted keys as the fewest ranges, first and last, in the order that Dagster has them in."""
    found: list[tuple[str, str]] = []
    last = None
    for key in keys:
        if key not in wanted:
            last = None
        elif last is None:
            found.append((key, key))
            last = key
        else:
            found[-1] = (found[-1][0], key)
    return found


def refresh_requests(
    context: Context, pipeline: Pipeline, wanted: Collection[str], run_key: str | None = None
) -> list[dg.RunRequest]:
    """One request for each stretch of the wanted projects: in one run, one process reads them all.

    Dagster 1.13 has no public way from a schedule or a sensor to a backfill. A run over a range is what a backfill of
    single-run assets would start, and it shows in the partitions just the same.
    """
    assets = pipeline.keys(INGESTED)
    found = stretches(context.instance.get_dynamic_partitions(str(pipeline.projects.name)), wanted)
    return [_request(assets, first, last, run_key and f"{run_key} {first} {last}") for first, last in found]


def _request(assets: list[dg.AssetKey], first: str, last: str, run_key: str | None) -> dg.RunRequest:
    if first == last:
        return dg.RunRequest(run_key=run_key, asset_selection=assets, partition_key=first, tags=MAKES_ALL)
    return dg.RunRequest(run_key=run_key, asset_selection=assets, tags=range_tags(first, last) | MAKES_ALL)

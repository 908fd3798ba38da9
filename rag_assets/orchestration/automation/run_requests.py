"""Run requests for projects."""

from collections.abc import Collection, Sequence

import dagster as dg

from rag_assets.orchestration.assets.conditions import MAKES_ALL
from rag_assets.orchestration.automation.jobs import INGEST_ASSETS
from rag_assets.orchestration.partitions import range_tags
from rag_assets.orchestration.scope import PipelineScope

TickContext = dg.ScheduleEvaluationContext | dg.SensorEvaluationContext


def contiguous_ranges(keys: Sequence[str], wanted: Collection[str]) -> list[tuple[str, str]]:
    """The wanted keys as the fewest ranges (first, last), in Dagster's order of all `keys`."""
    ranges: list[tuple[str, str]] = []
    last = None
    for key in keys:
        if key not in wanted:
            last = None
        elif last is None:
            ranges.append((key, key))
            last = key
        else:
            ranges[-1] = (ranges[-1][0], key)
    return ranges


def refresh_requests(
    context: TickContext, scope: PipelineScope, wanted: Collection[str], run_key: str | None = None
) -> list[dg.RunRequest]:
    """One request for each contiguous range of the wanted projects, so that one process reads all projects of a range.

    Dagster 1.13 has no public way to start a backfill from a schedule or a sensor. A backfill of single-run assets
    would start the same runs over ranges, and they show in the partitions in the same way.
    """
    assets = scope.keys(INGEST_ASSETS)
    keys = context.instance.get_dynamic_partitions(str(scope.projects.name))
    return [
        _request(assets, first, last, run_key and f"{run_key} {first} {last}")
        for first, last in contiguous_ranges(keys, wanted)
    ]


def _request(assets: list[dg.AssetKey], first: str, last: str, run_key: str | None) -> dg.RunRequest:
    if first == last:
        return dg.RunRequest(run_key=run_key, asset_selection=assets, partition_key=first, tags=MAKES_ALL)
    return dg.RunRequest(run_key=run_key, asset_selection=assets, tags=range_tags(first, last) | MAKES_ALL)

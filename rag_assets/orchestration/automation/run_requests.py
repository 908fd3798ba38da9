"""Run requests for projects."""

from collections.abc import Collection, Sequence
from uuid import uuid4

import dagster as dg

from rag_assets.documents.shards import split_key
from rag_assets.orchestration.assets.conditions import MAKES_ALL
from rag_assets.orchestration.automation.jobs import INGEST_ASSETS
from rag_assets.orchestration.partitions import REQUESTED_TOGETHER, range_tags
from rag_assets.orchestration.scope import PipelineScope

TickContext = dg.ScheduleEvaluationContext | dg.SensorEvaluationContext


def contiguous_ranges(
    keys: Sequence[str], wanted: Collection[str], longest: int | None = None
) -> list[tuple[str, str]]:
    """The wanted keys as the fewest ranges (first, last) of up to `longest` keys, in Dagster's order of all `keys`.

    Each shard is one alone: runs over several shards of a project may work side by side.
    """
    split = {name for name, shard in map(split_key, keys) if shard is not None}
    ranges: list[tuple[str, str]] = []
    length = 0
    for key in keys:
        if key not in wanted:
            length = 0
        elif split_key(key)[0] in split:
            ranges.append((key, key))
            length = 0
        elif length in (0, longest):
            ranges.append((key, key))
            length = 1
        else:
            ranges[-1] = (ranges[-1][0], key)
            length += 1
    return ranges


def refresh_requests(
    context: TickContext, scope: PipelineScope, wanted: Collection[str], run_key: str | None = None
) -> list[dg.RunRequest]:
    """One request for each shard, and for each contiguous range of the wanted projects without shards.

    One process reads all projects of a range.

    RAG_ASSETS_PROJECTS_PER_RUN limits the ranges, for workers to share the projects.

    Dagster 1.13 has no public way to start a backfill from a schedule or a sensor. A backfill of single-run assets
    would start the same runs over ranges, and they show in the partitions in the same way.
    """
    assets = scope.keys(INGEST_ASSETS)
    keys = context.instance.get_dynamic_partitions(str(scope.projects.name))
    together = str(uuid4())
    split = {name for name, shard in map(split_key, keys) if shard is not None}
    return [
        _request(
            assets,
            first,
            last,
            run_key and f"{run_key} {first} {last}",
            MAKES_ALL | ({REQUESTED_TOGETHER: together} if split_key(first)[0] in split else {}),
        )
        for first, last in contiguous_ranges(keys, wanted, scope.settings.run_size)
    ]


def _request(
    assets: list[dg.AssetKey], first: str, last: str, run_key: str | None, tags: dict[str, str]
) -> dg.RunRequest:
    if first == last:
        return dg.RunRequest(run_key=run_key, asset_selection=assets, partition_key=first, tags=tags)
    return dg.RunRequest(run_key=run_key, asset_selection=assets, tags=range_tags(first, last) | tags)

"""The partitions, projects with their shards, and days: which keys there are, and those of a run.

rag_assets.documents.shards has the format of the keys.
"""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from rag_assets.documents.shards import split_key

# Those of the command line's installation; other pipelines have a prefix before the name.
projects = dg.DynamicPartitionsDefinition(name="projects")

PartitionedContext = dg.AssetExecutionContext | dg.InputContext | dg.OutputContext

# The tags of a run over a range, for which Dagster has no public names.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

# The tag of the runs of a backfill.
BACKFILL = "dagster/backfill"
# The tag of runs that one tick requested for shards: they share a listing.
REQUESTED_TOGETHER = "rag_assets/requested_together"


def range_tags(first: str, last: str) -> dict[str, str]:
    return {RANGE_START: first, RANGE_END: last}


def daily_partitions(since: date) -> dg.DailyPartitionsDefinition:
    """Days in UTC, including today: this morning's messages need not wait until tomorrow to be found."""
    return dg.DailyPartitionsDefinition(start_date=since.isoformat(), end_offset=1)


def project_keys(context: PartitionedContext) -> list[str]:
    """The keys of a run over one, several or all projects and shards, sorted."""
    if isinstance(context, dg.AssetExecutionContext):
        return sorted(context.partition_keys)
    return sorted(context.asset_partition_keys)


def slice_keys(context: dg.InputContext | dg.OutputContext) -> list[str]:
    """The keys of a run; [""] for an asset without partitions, whose one slice is the whole table."""
    return project_keys(context) if context.has_asset_partitions else [""]


def partition_changes(
    instance: dg.DagsterInstance, keys: Sequence[str], partitions: dg.DynamicPartitionsDefinition = projects
) -> tuple[list[str], list[str]]:
    """The keys to remove, and those to add then, for the partitions to be exactly these.

    The shards of a project stay side by side, so that one run can have them all: a range goes by the order in which
    keys were added.
    """
    known, wanted = list(instance.get_dynamic_partitions(str(partitions.name))), set(keys)
    apart = _apart([key for key in known if key in wanted], keys)
    removed = sorted(set(known) - wanted) + [key for key in known if key in apart]
    kept = set(known) - set(removed)
    return removed, [key for key in keys if key not in kept]


def _apart(known: Sequence[str], keys: Sequence[str]) -> set[str]:
    """The keys of the projects whose shards are not one range in their order, where some of them are known."""
    of_project: dict[str, list[str]] = {}
    for key in keys:
        of_project.setdefault(split_key(key)[0], []).append(key)
    places = {key: place for place, key in enumerate(known)}
    apart: set[str] = set()
    for own in of_project.values():
        found = [places[key] for key in own if key in places]
        if found and found != list(range(found[0], found[0] + len(own))):
            apart.update(own)
    return apart


def run_projects(
    run: dg.DagsterRun, instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition = projects
) -> list[str] | None:
    """The keys that a run was requested for; None when it was requested for none, as a run of the job `checks`."""
    name = str(partitions.name)
    if "dagster/partition" in run.tags:
        # In a code location with other assets, the key may belong to another partitions definition.
        key = run.tags["dagster/partition"]
        return [key] if instance.has_dynamic_partition(name, key) else None
    ends = [run.tags.get(tag) for tag in (RANGE_START, RANGE_END)]
    # A range goes by the order in which the keys were added.
    keys = instance.get_dynamic_partitions(name)
    if not all(end in keys for end in ends):
        return None
    first, last = (keys.index(str(end)) for end in ends)
    return list(keys[first : last + 1])


def partition_days(context: dg.AssetExecutionContext) -> list[date]:
    """The days of a run over one key or several, sorted."""
    return [date.fromisoformat(key) for key in sorted(context.partition_keys)]


def carry_materializations(instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey], old: str, new: str) -> None:
    """Report the assets as materialized for the new key as they were for the old one, so that nothing has to run."""
    for asset in assets:
        records = dg.AssetRecordsFilter(asset, asset_partitions=[old])
        for record in instance.fetch_materializations(records, limit=1).records:
            last = record.asset_materialization
            if last is not None:
                instance.report_runless_asset_event(last._replace(partition=new))

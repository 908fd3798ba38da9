"""The partitions, projects and days: the only place that turns partition keys into slices of the tables."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

# Those of the command line's installation; other pipelines have a prefix before the name.
projects = dg.DynamicPartitionsDefinition(name="projects")

PartitionedContext = dg.AssetExecutionContext | dg.InputContext | dg.OutputContext

# The tags of a run over a range, for which Dagster has no public names.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def range_tags(first: str, last: str) -> dict[str, str]:
    return {RANGE_START: first, RANGE_END: last}


def daily_partitions(since: date) -> dg.DailyPartitionsDefinition:
    """Days in UTC, including today: this morning's messages need not wait until tomorrow to be found."""
    return dg.DailyPartitionsDefinition(start_date=since.isoformat(), end_offset=1)


def project_keys(context: PartitionedContext) -> list[str]:
    """The projects of a run over one key, several or all, sorted."""
    if isinstance(context, dg.AssetExecutionContext):
        return sorted(context.partition_keys)
    return sorted(context.asset_partition_keys)


def slice_keys(context: dg.InputContext | dg.OutputContext) -> list[str]:
    """The keys of a run; [""] for an asset without partitions, whose one slice is the whole table."""
    return project_keys(context) if context.has_asset_partitions else [""]


def partition_changes(
    instance: dg.DagsterInstance, names: Sequence[str], partitions: dg.DynamicPartitionsDefinition = projects
) -> tuple[list[str], list[str]]:
    """The keys to add, and the keys to remove, for the partitions to be exactly these projects."""
    known = set(instance.get_dynamic_partitions(str(partitions.name)))
    return [name for name in names if name not in known], sorted(known - set(names))


def run_projects(
    run: dg.DagsterRun, instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition = projects
) -> list[str] | None:
    """The projects that a run was requested for; None when it was requested for none, as a run of the job `checks`."""
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

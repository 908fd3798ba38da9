"""The partitions, projects and days; the only place that turns keys into slices of the tables."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

# Of the installation that the command line works in; others have a prefix before the name.
projects = dg.DynamicPartitionsDefinition(name="projects")

Context = dg.AssetExecutionContext | dg.InputContext | dg.OutputContext

# Dagster's own tags of a run over a range, to which it gives no public name.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def range_tags(first: str, last: str) -> dict[str, str]:
    return {RANGE_START: first, RANGE_END: last}


def daily(since: date) -> dg.DailyPartitionsDefinition:
    """By UTC. Today is a partition too: what was said this morning need not wait for the night to be found."""
    return dg.DailyPartitionsDefinition(start_date=since.isoformat(), end_offset=1)


def project_keys(context: Context) -> list[str]:
    """The projects of a run over one key, several, or all, in a stable order."""
    if isinstance(context, dg.AssetExecutionContext):
        return sorted(context.partition_keys)
    return sorted(context.asset_partition_keys)


def slice_keys(context: dg.InputContext | dg.OutputContext) -> list[str]:
    """The keys of a run; of an asset that is not partitioned "", the one slice that is all of it."""
    return project_keys(context) if context.has_asset_partitions else [""]


def changes_of_keys(
    instance: dg.DagsterInstance, wanted: Sequence[str], of: dg.DynamicPartitionsDefinition = projects
) -> tuple[list[str], list[str]]:
    """The partition keys to add, and those to remove, for the projects to be these."""
    known = set(instance.get_dynamic_partitions(str(of.name)))
    return [name for name in wanted if name not in known], sorted(known - set(wanted))


def run_keys(
    run: dg.DagsterRun, instance: dg.DagsterInstance, of: dg.DynamicPartitionsDefinition = projects
) -> list[str] | None:
    """The projects that a run was asked for; None where it was asked for none, as that of the job `checks`."""
    name = str(of.name)
    if "dagster/partition" in run.tags:
        # In a location of many assets, a run's partition may be of somebody else's.
        key = run.tags["dagster/partition"]
        return [key] if instance.has_dynamic_partition(name, key) else None
    ends = [run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end")]
    # Dagster's ranges go by the order in which partitions were added.
    keys = instance.get_dynamic_partitions(name)
    if not all(end in keys for end in ends):
        return None
    first, last = (keys.index(str(end)) for end in ends)
    return list(keys[first : last + 1])


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """The days of a run over one or several, in their order."""
    return [date.fromisoformat(key) for key in sorted(context.partition_keys)]

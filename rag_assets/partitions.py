"""The partitions, projects and days; the only place that turns keys into slices of the tables."""

from datetime import date

import dagster as dg

from rag_assets.settings import load_settings

projects = dg.DynamicPartitionsDefinition(name="projects")
# By UTC. Today is a partition too: what was said this morning need not wait for the night to be found.
days = dg.DailyPartitionsDefinition(start_date=load_settings().messages_since.isoformat(), end_offset=1)

Context = dg.AssetExecutionContext | dg.InputContext | dg.OutputContext


def project_keys(context: Context) -> list[str]:
    """The projects of a run over one key, several, or all, in a stable order."""
    if isinstance(context, dg.AssetExecutionContext):
        return sorted(context.partition_keys)
    return sorted(context.asset_partition_keys)


def slice_keys(context: dg.InputContext | dg.OutputContext) -> list[str]:
    """The keys of a run; of an asset that is not partitioned "", the one slice that is all of it."""
    return project_keys(context) if context.has_asset_partitions else [""]


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """The days of a run over one or several, in their order."""
    return [date.fromisoformat(key) for key in sorted(context.partition_keys)]

"""The partitions: a project's name is a key; the only place that turns keys into slices of the tables."""

import dagster as dg

projects = dg.DynamicPartitionsDefinition(name="projects")


def project_keys(context: dg.AssetExecutionContext | dg.InputContext | dg.OutputContext) -> list[str]:
    """The projects of a run over one key, several, or all, in a stable order."""
    if isinstance(context, dg.AssetExecutionContext):
        return sorted(context.partition_keys)
    return sorted(context.asset_partition_keys)

"""Everything that knows Dagster: assets, checks, automation, IO manager, resources, run storage, component."""

"""Everything of Dagster: assets, checks, automation, IO manager, resources, run storage, component."""

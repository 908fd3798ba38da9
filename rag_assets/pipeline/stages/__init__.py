"""The stages: each brings one table, index or pointer up to date, and none of them knows Dagster."""

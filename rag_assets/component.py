"""The pipeline as a component of Dagster's, for a `defs.yaml`."""

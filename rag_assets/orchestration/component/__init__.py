"""The pipeline as a Dagster component, for a `defs.yaml`: `type: rag_assets.RagPipeline`."""

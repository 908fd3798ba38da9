"""The Dagster resources: PostgreSQL and the embedder."""

"""Documents kept searchable by meaning in PostgreSQL: Dagster assets over pgvector."""

__version__ = "0.1.0"

"""Vectors that move in and out: Parquet files, and tables of other libraries."""

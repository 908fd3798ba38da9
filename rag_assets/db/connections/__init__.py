"""Engines, pools, poolers, retries and the log of statements."""

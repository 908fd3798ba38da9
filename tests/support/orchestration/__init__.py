"""Dagster's homes, servers and pages."""

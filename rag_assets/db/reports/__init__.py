"""Figures read from the tables: counts, sizes, throughput, remaining work, health."""

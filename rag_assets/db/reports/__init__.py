"""Figures that are read from the tables: counts, sizes, throughput, remaining work, health."""

"""Searches over messages and memories, and over several kinds at once."""

"""Filters on documents and on their metadata, as SQL conditions."""

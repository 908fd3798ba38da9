"""Vectors of texts: embedded, copied from another space, taken from a source, or fetched from a batch."""

"""Embedding spaces: their rows and partitions, pending texts, retention, the vectors' wire format."""

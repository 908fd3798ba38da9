"""Embedding spaces: their rows and partitions, the texts that they are for, retention, checksums, wire format."""

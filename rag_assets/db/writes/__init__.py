"""Writing rows: COPY, upserts, invalidation, pruning, word statistics."""

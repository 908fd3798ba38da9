"""How rows are written: COPY, upserts, pruning, invalidation, word statistics."""

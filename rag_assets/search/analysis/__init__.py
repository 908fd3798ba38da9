"""Beyond a query: similar chunks, aggregates, and where a hit comes from."""

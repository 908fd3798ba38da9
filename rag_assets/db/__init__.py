"""PostgreSQL: the embedded server, connections, schema, models, spaces, index, writes, reports."""

"""The operations of each table, as functions on a connection. `Repository` runs each one in a transaction."""

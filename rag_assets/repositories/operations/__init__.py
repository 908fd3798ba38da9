"""What an application does with each table, as functions on a connection."""

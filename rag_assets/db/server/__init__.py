"""The embedded PostgreSQL server: data directory, process, account, sockets, lock."""

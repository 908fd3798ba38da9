"""Commands without subcommands: ingest, search, check, status and others."""

"""Commands that stand by themselves: ingest, search, check, status and their like."""

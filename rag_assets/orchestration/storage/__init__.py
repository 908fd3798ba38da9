"""Run history in SQLite with open connections, watching it, pool claims, dead runs."""

"""Runs on many machines: Celery takes them to workers, and leases tell which worker lives."""

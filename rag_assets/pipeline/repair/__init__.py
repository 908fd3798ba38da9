"""Finds stored state that does not match its sources, and invalidates it for the next run."""

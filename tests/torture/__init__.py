"""Crash anywhere, with aim: `python -m tests.torture` strikes commands and their server at chosen moments."""

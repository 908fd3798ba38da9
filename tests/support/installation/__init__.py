"""Installations, commands in them, and packages installed for a test."""

"""Rows as documents."""

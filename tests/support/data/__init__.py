"""Data with known answers, and what they are compared with."""

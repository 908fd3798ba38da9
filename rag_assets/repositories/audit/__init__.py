"""The audit of what callers ask: written in the background, kept for a time, and turned into evaluation queries."""

"""Evaluation queries: files, metrics, thresholds, index recall, tuning."""

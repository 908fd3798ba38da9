"""The test server, and rows, damage and indexes made without the pipeline."""

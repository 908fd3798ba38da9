"""The IO manager: what assets write to tables and what downstream assets read."""

"""The ruled tables of a page."""

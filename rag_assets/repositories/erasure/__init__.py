"""Erase everything of one document or one user, and prove it by counts before and after."""

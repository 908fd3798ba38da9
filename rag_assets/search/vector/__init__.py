"""Vector search: the statements, and the choice between index and exact scan."""

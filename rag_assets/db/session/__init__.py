"""What work depends on in a database: the session's settings, what the role may do, and what the server answers."""

"""Web sites as documents."""

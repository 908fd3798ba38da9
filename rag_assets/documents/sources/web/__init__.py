"""Web sites as documents: `site+https://example.com/docs/`."""

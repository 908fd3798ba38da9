"""Projects: their settings, declarations, rows and failures."""

"""Where documents come from, how bytes become text, and how text is split into chunks."""

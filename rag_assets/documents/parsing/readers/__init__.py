"""Readers of single formats: bytes or text in, Markdown or lines out. They run in the parser's child process."""

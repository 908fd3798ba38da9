"""The commands that move vectors in and out: export, import."""

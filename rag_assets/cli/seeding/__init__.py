"""The command `seed`: example data to develop with, the same every time."""

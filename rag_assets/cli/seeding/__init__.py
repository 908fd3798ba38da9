"""The command `seed`: a believable set of data to develop with, the same every time."""

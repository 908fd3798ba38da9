"""What the settings ask for: the chunking and the space that a refresh works towards."""

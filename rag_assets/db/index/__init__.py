"""The vector index of a space: its definition, build, state, and the k-nearest-neighbour SQL that uses it."""

"""A resource to be named in YAML."""

from rag_assets import Embedder


class OurEmbedder(Embedder):
    """As ours, under a name of its own."""

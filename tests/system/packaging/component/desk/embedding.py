"""A resource that YAML names."""

from rag_assets import Embedder


class OurEmbedder(Embedder):
    """The embedder of the package under another name."""

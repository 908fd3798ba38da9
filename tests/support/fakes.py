"""A model where the model is not the point: the same text has the same vector, and near texts have near ones."""

from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.encoder import Encoder
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.testing import DIMENSIONS, HashEncoder

__all__ = ["DIMENSIONS", "ENCODERS", "FakeEmbedder", "HashEncoder"]


class FakeEmbedder(Embedder):
    """The resource with a HashEncoder; target space, tokenizer and window stay those of the real model."""

    def encoder(self, space: EmbeddingSpace) -> Encoder:
        return ENCODERS.setdefault(space.id, HashEncoder(space.dimensions))


# By space: Dagster copies resources, so what a test wants to look at lives beside them.
ENCODERS: dict[int, HashEncoder] = {}

"""A deterministic fake model: equal texts get equal vectors, and similar texts get similar ones."""

from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.encoder import Encoder
from rag_assets.orchestration.resources.embedder import Embedder
from rag_assets.testing import HashEncoder
from rag_assets.testing.encoder import DIMENSIONS

__all__ = ["DIMENSIONS", "ENCODERS", "FakeEmbedder", "HashEncoder"]


class FakeEmbedder(Embedder):
    """The embedder with a HashEncoder; target space, tokenizer and window stay those of the real model."""

    def encoder(self, space: EmbeddingSpace) -> Encoder:
        return ENCODERS.setdefault(space.id, HashEncoder(space.dimensions))


# By space id. Dagster copies resources, so the encoders that tests inspect cannot be attributes of the resource.
ENCODERS: dict[int, HashEncoder] = {}

"""A custom embedder of a team: each word is a direction, and there is no model to load."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_assets import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.embedding.encoder import Encoder


class WordEncoder:
    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        return np.stack([self.encode_query(text) for text in texts])

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        import numpy as np

        vector = np.zeros(self.dimensions)
        for word in text.lower().split() or [text]:
            seed = int.from_bytes(word.encode(), "little") % 2**63
            vector += np.random.default_rng(seed).standard_normal(self.dimensions)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


class WordEmbedder(Embedder):
    def encoder(self, space: "EmbeddingSpace") -> "Encoder":
        return WordEncoder(space.dimensions)

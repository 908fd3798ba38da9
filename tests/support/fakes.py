"""A model where the model is not the point: the same text has the same vector, and near texts have near ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.encoder import Encoder
from rag_assets.orchestration.resources.embedder import Embedder

DIMENSIONS = 384


class HashEncoder:
    """Each word is a fixed random direction, a text the sum of its words; records what it was asked to embed."""

    def __init__(self, dimensions: int = DIMENSIONS, *, fault: Callable[[str], Any] | None = None) -> None:
        self.dimensions = dimensions
        self.embedded: list[str] = []
        # Called with each text: what it returns in place of None stands in for the vector; it may raise.
        self.fault = fault

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = [self._vector(text) for text in texts]
        self.embedded.extend(texts)
        return np.stack(vectors)

    def encode_query(self, text: str) -> NDArray[np.float32]:
        return self._vector(text)

    def _vector(self, text: str) -> NDArray[np.float32]:
        replaced = self.fault(text) if self.fault else None
        if replaced is not None:
            return np.asarray(replaced, dtype=np.float32)
        words = text.lower().split() or [text]
        vector = np.sum([_direction(word, self.dimensions) for word in words], axis=0, dtype=np.float32)
        return vector / np.linalg.norm(vector)


def _direction(word: str, dimensions: int) -> NDArray[np.float32]:
    seed = int.from_bytes(word.encode(), "little") % 2**63
    return np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)


class FakeEmbedder(Embedder):
    """The resource with a HashEncoder; target space, tokenizer and window stay those of the real model."""

    def encoder(self, space: EmbeddingSpace) -> Encoder:
        return ENCODERS.setdefault(space.id, HashEncoder(space.dimensions))


# By space: Dagster copies resources, so what a test wants to look at lives beside them.
ENCODERS: dict[int, HashEncoder] = {}

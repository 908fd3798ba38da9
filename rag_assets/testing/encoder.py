"""A deterministic encoder without a model."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMENSIONS = 384


class HashEncoder:
    """An encoder without a model: equal texts have equal vectors, texts that share words have near ones.

    Each word is a fixed random direction, a text the sum of its words, of length 1. `embedded` lists the texts in the
    order in which they were embedded. `fault` is called with each text; what it returns instead of None takes the
    vector's place, and it may raise.
    """

    def __init__(self, dimensions: int = DIMENSIONS, *, fault: Callable[[str], Any] | None = None) -> None:
        self.dimensions = dimensions
        self.embedded: list[str] = []
        self.fault = fault

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        vectors = [self._vector(text) for text in texts]
        self.embedded.extend(texts)
        return np.stack(vectors)

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        return self._vector(text)

    def _vector(self, text: str) -> "NDArray[np.float32]":
        import numpy as np

        replaced = self.fault(text) if self.fault else None
        if replaced is not None:
            return np.asarray(replaced, dtype=np.float32)
        words = text.lower().split() or [text]
        vector: NDArray[np.float32] = np.sum([_direction(word, self.dimensions) for word in words], axis=0)
        return vector / np.linalg.norm(vector)


def _direction(word: str, dimensions: int) -> "NDArray[np.float32]":
    import numpy as np

    seed = int.from_bytes(word.encode(), "little") % 2**63
    return np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)

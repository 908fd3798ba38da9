"""Embedding of texts that are longer than the model's window: the mean of the vectors of their pieces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_assets.embedding.encoder import Encoder, token_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_assets.documents.splitting.splitter import Splitter


class PiecewiseEncoder:
    """An encoder without truncation: a text longer than a piece of the splitter gets the mean of its pieces' vectors.

    The mean is weighted by tokens, and normalized if `normalize`, as in the OpenAI cookbook, "Embedding texts that are
    longer than the model's maximum context length". A model by itself ignores all text beyond its window.
    """

    def __init__(self, encoder: Encoder, splitter: "Splitter", *, batch_tokens: int, normalize: bool) -> None:
        self.dimensions = encoder.dimensions
        self._encoder = encoder
        self._splitter = splitter
        self._batch_tokens = batch_tokens
        self._normalize = normalize

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        split = self._split(texts)
        if all(len(pieces) == 1 for pieces in split):
            return self._encoder.encode(texts)
        vectors = self._encode_pieces([piece for pieces in split for piece in pieces])
        result, start = np.empty((len(split), vectors.shape[1]), dtype=np.float32), 0
        for row, pieces in enumerate(split):
            own = vectors[start : start + len(pieces)]
            start += len(pieces)
            result[row] = own[0] if len(pieces) == 1 else self._mean(own, [tokens for _, tokens in pieces])
        return result

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        return self._encoder.encode_query(text)

    def _split(self, texts: Sequence[str]) -> list[list[tuple[str, int]]]:
        """The pieces of each text with their tokens; a text that fits into the window is one unchanged piece."""
        split = self._splitter.split_all([(text, "text") for text in texts])
        return [
            [(piece.text, piece.token_count) for piece in pieces]
            if len(pieces) > 1
            else [(text, sum(piece.token_count for piece in pieces))]
            for text, pieces in zip(texts, split, strict=True)
        ]

    def _encode_pieces(self, pieces: Sequence[tuple[str, int]]) -> "NDArray[np.float32]":
        """Encode pieces in batches: a text can have thousands, and they share the token budget of whole texts."""
        import numpy as np

        batches = token_batches([tokens for _, tokens in pieces], self._batch_tokens)
        return np.concatenate([self._encoder.encode([text for text, _ in pieces[batch]]) for batch in batches])

    def _mean(self, vectors: "NDArray[np.float32]", weights: Sequence[int]) -> "NDArray[np.float32]":
        import numpy as np

        mean: NDArray[np.float64] = np.average(vectors.astype(np.float64), axis=0, weights=weights)
        length = np.linalg.norm(mean)
        # A zero or NaN vector is returned as it is: the writer of vectors rejects it.
        return (mean / length if self._normalize and length > 0 else mean).astype(np.float32)

"""Texts that are embedded whole, however long: beyond the model's window, a text's vector is made of its pieces'."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_assets.embedding.encoder import Encoder, token_batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_assets.documents.splitting.splitter import Splitter


class PiecewiseEncoder:
    """An encoder that cuts nothing off: of a text longer than the splitter's pieces it gives the mean of their vectors.

    Weighted by tokens, and of length 1 where `normalize`: as in the OpenAI cookbook, "Embedding texts that are longer
    than the model's maximum context length". A model by itself would read the beginning and say nothing of the rest.
    """

    def __init__(self, encoder: Encoder, splitter: "Splitter", *, batch_tokens: int, normalize: bool) -> None:
        self.dimensions = encoder.dimensions
        self._encoder = encoder
        self._splitter = splitter
        self._batch_tokens = batch_tokens
        self._normalize = normalize

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        cut = self._cut(texts)
        if all(len(pieces) == 1 for pieces in cut):
            return self._encoder.encode(texts)
        vectors = self._encode_pieces([piece for pieces in cut for piece in pieces])
        made, start = np.empty((len(cut), vectors.shape[1]), dtype=np.float32), 0
        for place, pieces in enumerate(cut):
            own = vectors[start : start + len(pieces)]
            start += len(pieces)
            made[place] = own[0] if len(pieces) == 1 else self._mean(own, [tokens for _, tokens in pieces])
        return made

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        return self._encoder.encode_query(text)

    def _cut(self, texts: Sequence[str]) -> list[list[tuple[str, int]]]:
        """The pieces of each text with their tokens; a text that fits is one piece, just as it is."""
        cut = self._splitter.split_all([(text, "text") for text in texts])
        return [
            [(piece.text, piece.token_count) for piece in pieces]
            if len(pieces) > 1
            else [(text, sum(piece.token_count for piece in pieces))]
            for text, pieces in zip(texts, cut, strict=True)
        ]

    def _encode_pieces(self, pieces: Sequence[tuple[str, int]]) -> "NDArray[np.float32]":
        """One text may have thousands of pieces: they go through the model by the same budget as texts do."""
        import numpy as np

        cuts = token_batches([tokens for _, tokens in pieces], self._batch_tokens)
        return np.concatenate([self._encoder.encode([text for text, _ in pieces[cut]]) for cut in cuts])

    def _mean(self, vectors: "NDArray[np.float32]", weights: Sequence[int]) -> "NDArray[np.float32]":
        import numpy as np

        mean: NDArray[np.float64] = np.average(vectors.astype(np.float64), axis=0, weights=weights)
        length = np.linalg.norm(mean)
        # A zero or NaN stays what it is: whoever stores vectors looks for those.
        return (mean / length if self._normalize and length > 0 else mean).astype(np.float32)

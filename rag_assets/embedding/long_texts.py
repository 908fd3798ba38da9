"""Embedding of texts that are longer than the model's window: the mean of the vectors of their pieces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_assets.embedding.batches import PartlyEncodedError, token_batches
from rag_assets.embedding.encoder import Encoder, get_batch_limits
from rag_assets.errors import RagAssetsError

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
        self.batch_limits = get_batch_limits(encoder, batch_tokens)
        self._normalize = normalize

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        import numpy as np

        split = self._split(texts)
        if all(len(pieces) == 1 for pieces in split):
            return self._encoder.encode(texts)
        try:
            vectors = self._encode_pieces([piece for pieces in split for piece in pieces])
        except PartlyEncodedError as error:
            raise self._partly_encoded(texts, split, error) from None
        result, start = np.empty((len(split), vectors.shape[1]), dtype=np.float32), 0
        for row, pieces in enumerate(split):
            own = vectors[start : start + len(pieces)]
            start += len(pieces)
            result[row] = self._combine(pieces, own)
        return result

    def take_billed_tokens(self) -> int:
        """The tokens that were billed since the last call; 0 for a model that bills none."""
        take = getattr(self._encoder, "take_billed_tokens", None)
        return take() if take is not None else 0

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

        found: dict[str, NDArray[np.float32]] = {}
        refused: dict[str, str] = {}
        stopped: RagAssetsError | None = None
        vectors = []
        limits = self.batch_limits
        for batch in token_batches([tokens for _, tokens in pieces], limits.tokens, limits.texts):
            texts = [text for text, _ in pieces[batch]]
            try:
                vectors.append(self._encoder.encode(texts))
                found.update(zip(texts, vectors[-1], strict=True))
            except PartlyEncodedError as error:
                found.update(error.vectors)
                refused.update(error.reasons)
                stopped = error.stopped
                if stopped is not None:
                    break
        if refused or stopped is not None:
            raise PartlyEncodedError(found, refused, stopped)
        return np.concatenate(vectors)

    def _partly_encoded(
        self, texts: Sequence[str], split: Sequence[Sequence[tuple[str, int]]], error: PartlyEncodedError
    ) -> PartlyEncodedError:
        """The error for whole texts, from that for their pieces."""
        import numpy as np

        vectors: dict[str, NDArray[np.float32]] = {}
        reasons: dict[str, str] = {}
        for text, pieces in zip(texts, split, strict=True):
            reason = next((error.reasons[piece] for piece, _ in pieces if piece in error.reasons), None)
            if reason is not None:
                reasons[text] = reason
            elif all(piece in error.vectors for piece, _ in pieces):
                vectors[text] = self._combine(pieces, np.stack([error.vectors[piece] for piece, _ in pieces]))
        return PartlyEncodedError(vectors, reasons, error.stopped)

    def _combine(self, pieces: Sequence[tuple[str, int]], vectors: "NDArray[np.float32]") -> "NDArray[np.float32]":
        return vectors[0] if len(pieces) == 1 else self._mean(vectors, [tokens for _, tokens in pieces])

    def _mean(self, vectors: "NDArray[np.float32]", weights: Sequence[int]) -> "NDArray[np.float32]":
        import numpy as np

        mean: NDArray[np.float64] = np.average(vectors.astype(np.float64), axis=0, weights=weights)
        length = np.linalg.norm(mean)
        # A zero or NaN vector is returned as it is: the writer of vectors rejects it.
        return (mean / length if self._normalize and length > 0 else mean).astype(np.float32)

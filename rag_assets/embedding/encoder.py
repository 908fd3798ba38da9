"""The model at work: texts in, vectors out; loaded at the first text, never before."""

import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from rag_assets.embedding.model import Model, find_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Encoder(Protocol):
    """What the pipeline and searches ask of a model; `encode` gives one float32 row a text."""

    dimensions: int

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]": ...

    def encode_query(self, text: str) -> "NDArray[np.float32]": ...


class SentenceTransformerEncoder:
    """A sentence-transformers model; one call of `encode` is one forward pass over all its texts."""

    def __init__(self, model: Model, *, normalize: bool = True, device: str | None = None) -> None:
        self.model = model
        self.dimensions = model.dimensions
        self._normalize = normalize and not model.normalizes
        self._device = device
        self._loaded: Any = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    def load(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self.model, self._device)
        return self._loaded

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        return self._encode(self.load().encode_document, list(texts))

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        vectors = self._encode(self.load().encode_query, [text])
        return vectors[0]  # type: ignore[no-any-return]

    def _encode(self, call: Any, texts: list[str]) -> "NDArray[np.float32]":
        vectors: NDArray[np.float32] = call(
            texts,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=self._normalize,
        )
        return vectors


@cache
def encoder_of(name: str, revision: str | None, *, normalize: bool = True, device: str | None = None) -> Encoder:
    """The encoder of this model; one a process, whoever asks."""
    return SentenceTransformerEncoder(find_model(name, revision), normalize=normalize, device=device)


def token_batches(counts: Sequence[int], budget: int) -> Iterator[slice]:
    """Cut a list of texts, ordered by length, where longest x number would pass the budget of tokens."""
    start, longest = 0, 0
    for index, count in enumerate(counts):
        longest = max(longest, count)
        if index > start and longest * (index + 1 - start) > budget:
            yield slice(start, index)
            start, longest = index, count
    if start < len(counts):
        yield slice(start, len(counts))


def _load(model: Model, device: str | None) -> Any:
    import logging

    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    # The files are all on disk by now; nothing is asked of the hub again.
    return SentenceTransformer(str(model.path), device=device, local_files_only=True)

"""Encoders: texts to vectors. A model is loaded at its first text, not before."""

import gc
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag_assets.embedding.backends import (
    BACKEND,
    LEAST_COSINE,
    SAMPLE,
    TORCH,
    check_backend,
    find_proof,
    run_on_backend,
    run_on_torch,
)
from rag_assets.embedding.batches import BatchLimits
from rag_assets.embedding.model import (
    QUERY_PROMPT,
    Model,
    check_sentence_transformers,
    document_prompt,
    find_model,
    refuse_pickles,
)
from rag_assets.embedding.remote.endpoint import Endpoint
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import ServiceError
from rag_assets.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag_assets.db.models import EmbeddingSpace


_log = logging.getLogger(__name__)

# Processes that run or wait to run, for each processor.
_BUSY_SHARE = 0.5


class Encoder(Protocol):
    """The interface of models for the pipeline and for searches; `encode` returns one float32 row per text."""

    dimensions: int

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]": ...

    def encode_query(self, text: str) -> "NDArray[np.float32]": ...


class SentenceTransformerEncoder:
    """A sentence-transformers model; each call of `encode` is one forward pass over all texts.

    A `backend` other than torch runs it where its vectors are those of torch, or where the space `has_own_vectors` of
    it; its export is kept in `state_dir`.
    """

    def __init__(
        self,
        model: Model,
        *,
        normalize: bool = True,
        device: str | None = None,
        dimensions: int | None = None,
        prompts: Mapping[str, str] | None = None,
        backend: str = TORCH,
        state_dir: Path | None = None,
        has_own_vectors: bool = False,
    ) -> None:
        self.model = model
        self.dimensions = dimensions or model.dimensions
        truncated = self.dimensions < model.dimensions
        self._truncate_dim = self.dimensions if truncated else None
        # Truncation changes the length, so that a vector which the model normalized must be normalized again.
        self._normalize = normalize and (truncated or not model.normalizes)
        prompts = model.prompts if prompts is None else prompts
        self._document_prompt, self._query_prompt = document_prompt(prompts), prompts.get(QUERY_PROMPT, "")
        self._device = device if backend == TORCH else "cpu"
        self._backend, self._state_dir, self._has_own_vectors = backend, state_dir, has_own_vectors
        self._loaded: Any = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    def load(self) -> Any:
        with self._lock:
            if self._loaded is None:
                loaded = _load(self.model, self._device)
                if self._backend != TORCH:
                    self._run_on_backend(loaded)
                self._loaded = loaded
                # The libraries of a model are a million objects that stay. Each full run of the garbage collector would
                # look at all of them, and stop every thread for a third of a second.
                gc.freeze()
        return self._loaded

    def _run_on_backend(self, loaded: Any) -> None:
        """Let the backend run the model, unless its vectors are not those of the space: proved in each process."""
        state_dir = self._state_dir or load_settings().state_dir
        cosine = run_on_backend(
            loaded, self.model, self._backend, state_dir, lambda: self._encode(loaded.encode_document, list(SAMPLE), "")
        )
        if cosine < LEAST_COSINE and not self._has_own_vectors:
            _log.warning(
                "%s runs on torch: the vectors of %s differ from those of its space (cosine %.6f)",
                *(self.model.name, self._backend, cosine),
            )
            run_on_torch(loaded)

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        return self._encode(self.load().encode_document, list(texts), self._document_prompt)

    def encode_query(self, text: str) -> "NDArray[np.float32]":
        model = self.load()
        with _one_thread_where_processors_are_busy():
            vectors = self._encode(model.encode_query, [text], self._query_prompt)
        return vectors[0]  # type: ignore[no-any-return]

    def _encode(self, call: Any, texts: list[str], prompt: str) -> "NDArray[np.float32]":
        vectors: NDArray[np.float32] = call(
            texts,
            prompt=prompt,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=self._normalize,
            truncate_dim=self._truncate_dim,
        )
        return vectors


@contextmanager
def _one_thread_where_processors_are_busy() -> Iterator[None]:
    """Let torch use one thread for a short text while other work has the processors.

    The threads of one text wait for each other in each layer. Where they share two busy cores, two threads took eleven
    times the processor time of one, and as many times as long.
    """
    import torch

    # Of the calling thread alone, as OpenMP counts them.
    before = torch.get_num_threads()
    is_busy = before > 1 and os.getloadavg()[0] > _BUSY_SHARE * (os.cpu_count() or 1)
    if is_busy:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if is_busy:
            torch.set_num_threads(before)


@cache
def get_encoder(
    name: str,
    revision: str | None,
    *,
    normalize: bool = True,
    device: str | None = None,
    dimensions: int | None = None,
    prompts: frozenset[tuple[str, str]] | None = None,
    backend: str = TORCH,
    state_dir: Path | None = None,
    has_own_vectors: bool = False,
) -> Encoder:
    """The encoder of this model, one per process; `dimensions` and `prompts` default to those of the model."""
    return SentenceTransformerEncoder(
        find_model(name, revision),
        normalize=normalize,
        device=device,
        dimensions=dimensions,
        prompts=None if prompts is None else dict(prompts),
        backend=backend,
        state_dir=state_dir,
        has_own_vectors=has_own_vectors,
    )


def get_space_encoder(space: "EmbeddingSpace", settings: Settings | None = None) -> Encoder:
    """The encoder of this space's vectors, and of queries to it.

    `settings`, by default those of the environment, have the device, or the address and the key of a model over HTTP.
    """
    settings = settings or load_settings()
    prompts = frozenset(space.prompts.items())
    if is_remote(space.model):
        from rag_assets.embedding.remote.servers import resolve_space_endpoint

        endpoint = resolve_space_endpoint(space, settings)
        return _get_remote_encoder(space.model, endpoint, space.dimensions, prompts, normalize=space.normalize)
    own_backend = space.chunking_settings.get(BACKEND)
    return get_encoder(
        space.model,
        space.revision,
        backend=own_backend or settings.backend,
        state_dir=settings.state_dir,
        has_own_vectors=own_backend is not None,
        normalize=space.normalize,
        device=settings.device,
        dimensions=space.dimensions,
        prompts=prompts,
    )


@cache
def _get_remote_encoder(
    name: str, endpoint: Endpoint, dimensions: int, prompts: frozenset[tuple[str, str]], *, normalize: bool
) -> Encoder:
    from rag_assets.embedding.remote.encoder import RemoteEncoder

    return RemoteEncoder(name, endpoint, dimensions=dimensions, prompts=dict(prompts), normalize=normalize)


def has_other_vectors(model: Model, settings: Settings) -> bool:
    """Whether the backend of the settings gives this model other vectors than torch, and so needs another space.

    The first time, or after an upgrade of a library, the model is exported and embeds a sample. Raises UsageError where
    the backend is not installed.
    """
    if settings.backend == TORCH or is_remote(model.name):
        return False
    check_backend(settings.backend)
    cosine = find_proof(model, settings.backend, settings.state_dir)
    if cosine is None:
        SentenceTransformerEncoder(model, backend=settings.backend, state_dir=settings.state_dir).load()
        cosine = find_proof(model, settings.backend, settings.state_dir)
    return cosine is None or cosine < LEAST_COSINE


def encode_query_within(encoder: Encoder, text: str, timeout_s: float | None) -> "NDArray[np.float32]":
    """The vector of a query; a model over HTTP may take at most so long."""
    from rag_assets.embedding.remote.encoder import RemoteEncoder

    return encoder.encode_query(text, timeout_s) if isinstance(encoder, RemoteEncoder) else encoder.encode_query(text)


def encode_queries_within(encoder: Encoder, texts: Sequence[str], timeout_s: float | None) -> "NDArray[np.float32]":
    """The vectors of several queries; a model over HTTP is asked for them together, and may take at most so long."""
    import numpy as np

    from rag_assets.embedding.remote.encoder import RemoteEncoder

    if isinstance(encoder, RemoteEncoder):
        return encoder.encode_queries(texts, timeout_s)
    return np.stack([encoder.encode_query(text) for text in texts])


def get_batch_limits(encoder: Encoder, batch_tokens: int) -> BatchLimits:
    """How large the batches for this encoder are; `batch_tokens` for one that does not say."""
    limits = getattr(encoder, "batch_limits", None)
    return limits if isinstance(limits, BatchLimits) else BatchLimits(batch_tokens)


def _load(model: Model, device: str | None) -> Any:
    assert model.path is not None
    refuse_pickles(model.path)
    check_sentence_transformers(model.name)
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    try:
        # All files are on disk by now: no request to the hub. Code that comes with a model is never run.
        return SentenceTransformer(str(model.path), device=device, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # Each library raises its own exceptions, also for a model that wants code of its own to be run.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ServiceError(
            f"the model {model.name!r} cannot be loaded: {reason}; set RAG_ASSETS_MODEL to one that "
            "sentence-transformers loads without trust_remote_code."
        ) from error

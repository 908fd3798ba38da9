"""Keep spaces beside the wanted one up to date over HTTP, as long as their own server answers for them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, select

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.spaces.partitions import partition
from rag_assets.db.spaces.text_kinds import text_source
from rag_assets.db.spaces.vector_codec import as_array
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import RefusedError, ServiceError, UsageError

# A server answers for the same text with the same vector, but for the rounding of its arithmetic.
LEAST_COSINE = 0.99

_log = logging.getLogger(__name__)


def is_by_other_server(space: EmbeddingSpace, wanted: EmbeddingSpace) -> bool:
    """Whether the space has vectors of another model over HTTP than the one that the settings ask for."""
    return is_remote(space.model) and space.model != wanted.model


@contextmanager
def allow_missing_server(space: EmbeddingSpace) -> Iterator[None]:
    """Leave the space as it is when its server cannot be used: it must not block the wanted one."""
    try:
        yield
    except (ServiceError, UsageError) as error:
        _log.warning("the %s space %s is not kept up to date: %s", space.status, space.id, error)


def check_same_vectors(engine: Engine, space: EmbeddingSpace, encoder: Encoder) -> None:
    """Embed a stored text again; raises RefusedError if its vector differs: another model answers.

    Servers with one model often ignore which one is asked for.
    """
    import numpy as np

    texts, stored = text_source(space), partition(space.id)
    example = select(texts.content, stored.c.embedding).join(stored, stored.c.content_hash == texts.content_hash)
    with engine.connect() as connection:
        found = connection.execute(example.where(texts.in_use).limit(1)).one_or_none()
    if found is None:
        return
    text, vector = found
    known = as_array(vector).astype(np.float64)
    (now,) = encoder.encode([text]).astype(np.float64)
    cosine = float(known @ now / (np.linalg.norm(known) * np.linalg.norm(now)))
    if not cosine >= LEAST_COSINE:
        raise RefusedError(
            f"the server's vectors for {space.model} are not those of space {space.id} (cosine {cosine:.3f}); "
            "set RAG_ASSETS_PREVIOUS_EMBEDDING_URL to the server of that model."
        )

"""Which server answers for a space: that of the settings, or the one that was set before."""

from hashlib import sha256

from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.remote.endpoint import Endpoint, resolve_endpoint
from rag_assets.embedding.remote.names import SERVER, is_remote, split_name
from rag_assets.errors import RefusedError, UsageError
from rag_assets.settings.settings import Settings


def mark_server(url: str) -> str:
    """A mark of the address, which is not stored itself."""
    return sha256(url.encode()).hexdigest()[:16]


def resolve_space_endpoint(space: EmbeddingSpace, settings: Settings) -> Endpoint:
    """The server of the settings for their own model; for another one, the server that its vectors are from.

    A server may ignore the name of the model, and a key is for its own server. Raises RefusedError where neither the
    settings nor those of the previous server name the space's server.
    """
    dialect, own_name = split_name(space.model)
    if is_remote(settings.model) and split_name(settings.model) == (dialect, own_name):
        return resolve_endpoint(dialect, settings)
    mark = space.chunking_settings.get(SERVER)
    for candidate in _candidates(dialect, settings):
        if mark in (None, mark_server(candidate.url)):
            return candidate
    raise RefusedError(
        f"space {space.id} has vectors of {space.model}, from another server than the one that the settings name; "
        "set RAG_ASSETS_PREVIOUS_EMBEDDING_URL, and RAG_ASSETS_PREVIOUS_EMBEDDING_API_KEY, to that server until the "
        "new space is live."
    )


def _candidates(dialect: str, settings: Settings) -> list[Endpoint]:
    previous = settings.model_copy(
        update={
            "embedding_url": settings.previous_embedding_url,
            "embedding_api_key": settings.previous_embedding_api_key,
            "embedding_api_key_file": None,
        }
    )
    found = []
    if previous.embedding_url is not None or previous.embedding_api_key is not None:
        found.append(resolve_endpoint(dialect, previous))
    if not is_remote(settings.model) or split_name(settings.model)[0] == dialect:
        try:
            found.append(resolve_endpoint(dialect, settings))
        except UsageError:
            if not found:
                raise
    return found

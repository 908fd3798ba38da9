"""The embedding space that the settings ask for, and the space that is checked."""

import logging
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.orm import Session

from rag_assets.db.spaces.retention import find_held_back
from rag_assets.db.spaces.spaces import SpaceDefinition, get_live_space
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.documents.text import fingerprint
from rag_assets.embedding.backends import BACKEND
from rag_assets.embedding.encoder import has_other_vectors
from rag_assets.embedding.model import DOCUMENT_PROMPTS, QUERY_PROMPT, Model, find_model
from rag_assets.embedding.remote.names import SERVER, TOKENIZER_SOURCE, is_remote, split_name
from rag_assets.errors import ServiceError, UsageError
from rag_assets.pipeline.target.chunking import chunk_splitting, content_window, model_tokenizer, splitting
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace

# The setting for "no prompt": an empty environment variable counts as unset, which means the model's own prompt.
NO_PROMPT = "-"
# The chunking of texts that are embedded whole: messages and memories.
WHOLE = "whole"

# The most dimensions that pgvector can index, by storage; the last is also the most that a vector can have.
_INDEXABLE = {"vector": 2_000, "halfvec": 4_000, "bit": 16_000}
MOST_DIMENSIONS = _INDEXABLE["bit"]

log = logging.getLogger(__name__)

_DISTANCES = {"cosine": "cosine", "dot": "ip", "euclidean": "l2", None: "cosine"}


@dataclass(frozen=True, slots=True)
class Target:
    """The wanted space and the model that makes its vectors."""

    definition: SpaceDefinition
    model: Model


@cache
def target_space(settings: Settings, kind: Kind = "chunks") -> Target:
    """The space that the settings ask for, for texts of this kind; worked out once per process, loads no model.

    Raises UsageError when the model has a smaller window than the wanted chunks, or fewer dimensions than wanted.
    """
    model = _with_prompts(_find_wanted_model(settings), settings)
    dimensions = _dimensions(settings, model)
    tokenizer = model_tokenizer(model)
    window = content_window(model, tokenizer)
    whole = kind != "chunks"
    split = (
        splitting(tokenizer, window, 0, plain_text=True)
        if whole
        else chunk_splitting(settings, model, tokenizer, window)
    )
    embedder: dict[str, Any] = {
        "model": model.name,
        "revision": model.revision,
        "dimensions": dimensions,
        "window": model.window,
        "prompts": model.prompts,
        "normalize": settings.normalize,
    }
    if has_other_vectors(model, settings):
        embedder[BACKEND] = settings.backend
    if whole:
        # The vector of a text beyond the window is made of its pieces' vectors, so it depends on where they are split.
        embedder["pieces"] = split
    index: dict[str, Any] = {
        "distance": settings.distance or _DISTANCES.get(model.similarity, "cosine"),
        "storage": storage_for(dimensions, settings.index_storage),
    }
    if settings.index_method == "hnsw" and settings.hnsw_ef_construction < 2 * settings.hnsw_m:
        raise UsageError(
            f"RAG_ASSETS_HNSW_EF_CONSTRUCTION is {settings.hnsw_ef_construction}, and pgvector wants at least twice "
            f"RAG_ASSETS_HNSW_M ({settings.hnsw_m}); set it to {2 * settings.hnsw_m} or more."
        )
    graph: dict[str, Any] = {"m": settings.hnsw_m, "ef_construction": settings.hnsw_ef_construction}
    # IVFFlat has neither m nor ef_construction: changing them must not ask for another IVFFlat space.
    shape = graph if settings.index_method == "hnsw" else {"method": settings.index_method}
    # A space of one part has the fingerprint that it had before there were parts.
    if settings.index_parts > 1:
        shape = shape | {"parts": settings.index_parts}
    chunking = WHOLE if whole else fingerprint(split)
    definition = SpaceDefinition(
        kind=kind,
        fingerprint=fingerprint(kind, chunking, embedder, index | shape),
        chunking=chunking,
        chunking_settings=split | _places(settings, model) | {k: v for k, v in embedder.items() if k == BACKEND},
        model=model.name,
        revision=model.revision,
        dimensions=dimensions,
        max_tokens=window,
        prompts=model.prompts,
        normalize=settings.normalize,
        method=settings.index_method,
        parts=settings.index_parts,
        oversampling=settings.oversampling,
        **index,
        **graph,
    )
    return Target(definition, model)


def _find_wanted_model(settings: Settings) -> Model:
    if is_remote(settings.model):
        from rag_assets.embedding.remote.model import find_remote_model

        return find_remote_model(settings)
    return find_model(settings.model, settings.model_revision)


def _places(settings: Settings, model: Model) -> dict[str, Any]:
    """Where the tokenizer and the server of a model over HTTP are."""
    if not is_remote(model.name):
        return {}
    from rag_assets.embedding.remote.dialects import DIALECTS
    from rag_assets.embedding.remote.endpoint import find_address
    from rag_assets.embedding.remote.servers import mark_server

    url, _ = find_address(DIALECTS[split_name(model.name)[0]], settings)
    source = {} if model.tokenizer_source is None else {TOKENIZER_SOURCE: model.tokenizer_source}
    return source | {SERVER: mark_server(url.geturl())}


def asks_for_other_chunks(engine: Engine, target: Target) -> bool:
    """Whether the wanted space differs from the live one in where texts are split, and not in who embeds them.

    Most of its texts have vectors then, which it takes over.
    """
    wanted = target.definition
    with engine.connect() as connection:
        live = get_live_space(connection, wanted.kind)
        held_back = find_held_back(connection, wanted.fingerprint)
    if live is None or held_back is not None or live.chunking == wanted.chunking:
        return False
    return (live.model, live.revision, live.prompts) == (wanted.model, wanted.revision, wanted.prompts)


def _with_prompts(model: Model, settings: Settings) -> Model:
    """The model with the prompts of the settings in place of its own."""
    prompts = dict(model.prompts)
    for given, names in ((settings.document_prompt, DOCUMENT_PROMPTS), (settings.query_prompt, (QUERY_PROMPT,))):
        if given is None:
            continue
        for name in names:
            prompts.pop(name, None)
        if given != NO_PROMPT:
            prompts[names[0]] = given
    return replace(model, prompts=prompts)


def _dimensions(settings: Settings, model: Model) -> int:
    if settings.dimensions is not None and settings.dimensions > model.dimensions:
        raise UsageError(
            f"RAG_ASSETS_DIMENSIONS is {settings.dimensions}, but the vectors of {model.name} have "
            f"{model.dimensions}; set it to {model.dimensions} or less."
        )
    return settings.dimensions or model.dimensions


def storage_for(dimensions: int, wanted: str) -> str:
    """The wanted storage, or, with a warning, the next one that can index that many dimensions.

    Raises UsageError for more dimensions than a vector of pgvector can have.
    """
    if dimensions > MOST_DIMENSIONS:
        raise UsageError(
            f"the model's vectors have {dimensions:,} dimensions, and pgvector holds {MOST_DIMENSIONS:,}; "
            "choose another model."
        )
    storages = list(_INDEXABLE)
    fitting = [name for name in storages[storages.index(wanted) :] if dimensions <= _INDEXABLE[name]]
    if fitting[0] != wanted:
        log.warning(
            "vectors of %s dimensions cannot be indexed as %s, whose limit is %s: the index stores %s; "
            "set RAG_ASSETS_INDEX_STORAGE=%s to choose it yourself",
            f"{dimensions:,}",
            wanted,
            f"{_INDEXABLE[wanted]:,}",
            fitting[0],
            fitting[0],
        )
    return fitting[0]


def space_to_check(engine: Engine, wanted: SpaceDefinition) -> "EmbeddingSpace":
    """The space that `current_space` returns; raises ServiceError when there is none."""
    space = current_space(engine, wanted)
    if space is None:
        raise ServiceError("there is nothing to check yet: no space exists; run rag-assets ingest first.")
    return space


def current_space(engine: Engine, wanted: SpaceDefinition) -> "EmbeddingSpace | None":
    """The wanted space if it exists and was not rolled back from, else the live space."""
    from rag_assets.db.models import EmbeddingSpace

    with Session(engine, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace)
            .where(or_(EmbeddingSpace.fingerprint == wanted.fingerprint, EmbeddingSpace.status == "live"))
            .where(EmbeddingSpace.kind == wanted.kind)
            # A space that was rolled back from is held back from serving, so there is nothing to prove about it.
            .order_by(
                and_(EmbeddingSpace.fingerprint == wanted.fingerprint, EmbeddingSpace.rolled_back_at.is_(None)).desc(),
                (EmbeddingSpace.status == "live").desc(),
            )
            .limit(1)
        )

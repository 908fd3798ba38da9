"""From the settings to the embedding space that they ask for."""

import logging
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.orm import Session

from rag_assets.db.spaces.spaces import SpaceDefinition
from rag_assets.db.spaces.text_kinds import Kind
from rag_assets.documents.text import fingerprint
from rag_assets.embedding.model import DOCUMENT_PROMPTS, QUERY_PROMPT, Model, find_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.pipeline.target.chunking import chunking_of, content_tokens, cutting, tokenizer_of
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace

# How the settings say that a model's own prompt is not to be used: an empty variable is one that is not set.
NO_PROMPT = "-"
# The chunking of texts that are embedded whole.
WHOLE = "whole"

# What pgvector can index of each storage, and what its vectors can have at all.
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
    """Work out the space that the settings ask for, for texts of this kind, once a process; loads no model.

    Raises UsageError when chunks of the wanted length do not fit the model's window, or it has fewer dimensions.
    """
    model = _prompted(find_model(settings.model, settings.model_revision), settings)
    dimensions = _dimensions(settings, model)
    tokenizer = tokenizer_of(model)
    room = content_tokens(model, tokenizer)
    whole = kind != "chunks"
    cuts = cutting(tokenizer, room, 0) if whole else chunking_of(settings, model, tokenizer, room)
    embedder: dict[str, Any] = {
        "model": model.name,
        "revision": model.revision,
        "dimensions": dimensions,
        "window": model.window,
        "prompts": model.prompts,
        "normalize": settings.normalize,
    }
    if whole:
        # A longer text's vector is made of those of its pieces, so it is another one where these are cut elsewhere.
        embedder["pieces"] = cuts
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
    # Lists have neither links nor construction: who changes those of graphs makes no other space of lists.
    shape = graph if settings.index_method == "hnsw" else {"method": settings.index_method}
    chunking = WHOLE if whole else fingerprint(cuts)
    definition = SpaceDefinition(
        kind=kind,
        fingerprint=fingerprint(kind, chunking, embedder, index | shape),
        chunking=chunking,
        chunking_settings=cuts,
        model=model.name,
        revision=model.revision,
        dimensions=dimensions,
        max_tokens=room,
        prompts=model.prompts,
        normalize=settings.normalize,
        method=settings.index_method,
        oversampling=settings.oversampling,
        **index,
        **graph,
    )
    return Target(definition, model)


def _prompted(model: Model, settings: Settings) -> Model:
    """The model with the prompts of the settings in place of its own; one that says nothing is none."""
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
    """The wanted storage, or the next one that an index of so many dimensions can have, and a warning that says so.

    Raises UsageError beyond what pgvector's vectors hold.
    """
    if dimensions > MOST_DIMENSIONS:
        raise UsageError(
            f"the model's vectors have {dimensions:,} dimensions, and pgvector holds {MOST_DIMENSIONS:,}; "
            "choose another model."
        )
    names = list(_INDEXABLE)
    fitting = [name for name in names[names.index(wanted) :] if dimensions <= _INDEXABLE[name]]
    if fitting[0] != wanted:
        log.warning(
            "vectors of %s dimensions cannot be indexed as %s, which ends at %s: the index stores %s; "
            "set RAG_ASSETS_INDEX_STORAGE=%s to say so yourself",
            f"{dimensions:,}",
            wanted,
            f"{_INDEXABLE[wanted]:,}",
            fitting[0],
            fitting[0],
        )
    return fitting[0]


def checked_space(engine: Engine, wanted: SpaceDefinition) -> "EmbeddingSpace":
    """The space that checks look at: the wanted one where it has been begun and may serve, else the live one.

    Raises ServiceError where there is neither.
    """
    space = begun_space(engine, wanted)
    if space is None:
        raise ServiceError("there is nothing to check yet: no space was begun; run rag-assets ingest first.")
    return space


def begun_space(engine: Engine, wanted: SpaceDefinition) -> "EmbeddingSpace | None":
    from rag_assets.db.models import EmbeddingSpace

    with Session(engine, expire_on_commit=False) as session:
        return session.scalar(
            select(EmbeddingSpace)
            .where(or_(EmbeddingSpace.fingerprint == wanted.fingerprint, EmbeddingSpace.status == "live"))
            .where(EmbeddingSpace.kind == wanted.kind)
            # One that was rolled back from is not to serve, so that it is not what is to be proved.
            .order_by(
                and_(EmbeddingSpace.fingerprint == wanted.fingerprint, EmbeddingSpace.rolled_back_at.is_(None)).desc(),
                (EmbeddingSpace.status == "live").desc(),
            )
            .limit(1)
        )

"""From the settings to the embedding space that they ask for."""

import logging
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.orm import Session
from tokenizers import Tokenizer

from rag_assets.db.spaces import SpaceDefinition
from rag_assets.db.texts import Kind
from rag_assets.embedding.model import DOCUMENT_PROMPTS, QUERY_PROMPT, Model, document_prompt, find_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.project_settings import ProjectSettings
from rag_assets.settings import Settings
from rag_assets.text.hashing import fingerprint
from rag_assets.text.splitting import Splitter
from rag_assets.text.tokens import count_tokens, load_tokenizer, special_token_count

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace

# How the settings say that a model's own prompt is not to be used: an empty variable is one that is not set.
NO_PROMPT = "-"
# The chunking of texts that are embedded whole.
WHOLE = "whole"
# Models that read whole books still find passages better; more than this only on demand.
LONGEST_BY_DEFAULT = 512

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
    cutting = _cutting(tokenizer, room, 0) if whole else _chunking(settings, model, tokenizer, room)
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
        embedder["pieces"] = cutting
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
    chunking = WHOLE if whole else fingerprint(cutting)
    definition = SpaceDefinition(
        kind=kind,
        fingerprint=fingerprint(kind, chunking, embedder, index | shape),
        embedder=fingerprint(embedder),
        chunking=chunking,
        chunking_settings=cutting,
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


def _chunking(settings: Settings, model: Model, tokenizer: Tokenizer, room: int) -> dict[str, Any]:
    max_tokens = settings.chunk_tokens or min(room, LONGEST_BY_DEFAULT)
    if max_tokens > room:
        raise UsageError(
            f"RAG_ASSETS_CHUNK_TOKENS is {max_tokens}, but the window of {model.name} holds {room} tokens; "
            f"set it to {room} or less."
        )
    if settings.overlap_tokens * 2 >= max_tokens:
        raise UsageError(
            f"RAG_ASSETS_OVERLAP_TOKENS is {settings.overlap_tokens}, too much for chunks of {max_tokens} tokens; "
            "set it to less than half of that."
        )
    return _cutting(tokenizer, max_tokens, settings.overlap_tokens)


def _cutting(tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int) -> dict[str, Any]:
    splitter = Splitter(tokenizer, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    return {
        "tokenizer": fingerprint(tokenizer.to_str()),
        "splitter": splitter.version,
        "max_tokens": max_tokens,
        "overlap_tokens": overlap_tokens,
    }


@cache
def _tokenizer_at(path: Path) -> Tokenizer:
    return load_tokenizer(path)


def tokenizer_of(model: Model) -> Tokenizer:
    """The model's tokenizer; read once a process, since its file is large."""
    return _tokenizer_at(model.path)


def content_tokens(model: Model, tokenizer: Tokenizer) -> int:
    """How many tokens of a text the model really sees: its window less special tokens and prompt."""
    prompt = document_prompt(model.prompts)
    return model.window - special_token_count(tokenizer) - max(count_tokens(tokenizer, [prompt, ""]))


def splitter_of(space: "EmbeddingSpace | SpaceDefinition", model: Model) -> Splitter:
    """The splitter that makes the chunks of this space, or the pieces of texts that do not fit its model's window."""
    return Splitter(
        tokenizer_of(model),
        max_tokens=space.chunking_settings["max_tokens"],
        overlap_tokens=space.chunking_settings["overlap_tokens"],
    )


def project_splitter(
    space: "EmbeddingSpace | SpaceDefinition", model: Model, project: str, settings: ProjectSettings
) -> Splitter:
    """The splitter of one project; raises UsageError where its own tokens do not go with the model's window.

    Its size changes no other project: the chunks of a space may differ in size, as long as each fits the window, and
    vectors are stored under the text. So they are cut anew in place, document by document, in the space that there is.
    """
    own = (settings.chunk_tokens, settings.overlap_tokens)
    if own == (None, None):
        return splitter_of(space, model)
    max_tokens = settings.chunk_tokens or space.chunking_settings["max_tokens"]
    if max_tokens > space.max_tokens:
        raise UsageError(
            f"project {project}: chunk_tokens is {max_tokens}, but the window of {model.name} holds "
            f"{space.max_tokens} tokens; set it to {space.max_tokens} or less."
        )
    overlap = settings.overlap_tokens
    if overlap is None:
        overlap = min(space.chunking_settings["overlap_tokens"], (max_tokens - 1) // 2)
    return Splitter(tokenizer_of(model), max_tokens=max_tokens, overlap_tokens=overlap)


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

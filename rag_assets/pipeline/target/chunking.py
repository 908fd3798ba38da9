"""How texts are split for a model: into chunks, and into pieces when a whole text does not fit its window."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from rag_assets.documents.splitting.estimated_tokenizer import estimated_tokenizer
from rag_assets.documents.splitting.packing import Fill
from rag_assets.documents.splitting.splitter import Splitter
from rag_assets.documents.splitting.tokenizer import count_tokens, load_tokenizer, special_token_count
from rag_assets.documents.text import fingerprint
from rag_assets.documents.versions import splitter_version
from rag_assets.embedding.model import Model, document_prompt
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import UsageError
from rag_assets.projects.settings import ProjectSettings
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.spaces import SpaceDefinition

# Models with larger windows still find short passages better; longer chunks only when the settings ask for them.
DEFAULT_MAX_TOKENS = 512


def chunk_splitting(settings: Settings, model: Model, tokenizer: Tokenizer, window: int) -> dict[str, Any]:
    """How the settings ask for chunks to be split; `window` is what `content_window` returns.

    Raises UsageError for chunks that do not fit the window, and for an overlap of half a chunk or more.
    """
    max_tokens = settings.chunk_tokens or min(window, DEFAULT_MAX_TOKENS)
    if max_tokens > window:
        raise UsageError(
            f"RAG_ASSETS_CHUNK_TOKENS is {max_tokens}, but the window of {model.name} holds {window} tokens; "
            f"set it to {window} or less{', or RAG_ASSETS_MODEL_WINDOW to more' if is_remote(model.name) else ''}."
        )
    if settings.overlap_tokens * 2 >= max_tokens:
        raise UsageError(
            f"RAG_ASSETS_OVERLAP_TOKENS is {settings.overlap_tokens}, too much for chunks of {max_tokens} tokens; "
            "set it to less than half of that."
        )
    split = splitting(tokenizer, max_tokens, settings.overlap_tokens)
    # Chunks of earlier versions were short; they keep their fingerprint, and so do texts that are no documents.
    return split if settings.chunk_fill == "short" else split | {"fill": settings.chunk_fill}


def splitting(
    tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int, *, plain_text: bool = False
) -> dict[str, Any]:
    """How texts are split, as stored with a space; `plain_text` for texts that are no documents.

    Raises UsageError for settings that no splitter takes.
    """
    splitter = Splitter(tokenizer, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    return {
        "tokenizer": fingerprint(tokenizer.to_str()),
        "splitter": splitter_version(plain_text=plain_text),
        "max_tokens": splitter.max_tokens,
        "overlap_tokens": splitter.overlap_tokens,
    }


@cache
def _tokenizer_at(path: Path) -> Tokenizer:
    return load_tokenizer(path)


def model_tokenizer(model: Model) -> Tokenizer:
    """The model's tokenizer, or an estimate of one; a large file is read once per process."""
    return estimated_tokenizer() if model.path is None else _tokenizer_at(model.path)


def content_window(model: Model, tokenizer: Tokenizer) -> int:
    """How many tokens of a text the model sees: its window without special tokens and the document prompt."""
    prompt = document_prompt(model.prompts)
    return model.window - special_token_count(tokenizer) - max(count_tokens(tokenizer, [prompt, ""]))


def space_splitter(space: "EmbeddingSpace | SpaceDefinition", model: Model) -> Splitter:
    """The splitter for the space's chunks, or for the pieces of texts that do not fit its model's window."""
    return Splitter(
        model_tokenizer(model),
        max_tokens=space.chunking_settings["max_tokens"],
        overlap_tokens=space.chunking_settings["overlap_tokens"],
        fill=space_fill(space),
    )


def space_fill(space: "EmbeddingSpace | SpaceDefinition") -> Fill:
    return "full" if space.chunking_settings.get("fill") == "full" else "short"


def project_splitter(
    space: "EmbeddingSpace | SpaceDefinition", model: Model, project: str, settings: ProjectSettings
) -> Splitter:
    """The space's splitter with the project's own chunk size; raises UsageError if that does not fit the window.

    A project's chunk size affects no other project: chunks of one space may differ in size as long as each fits the
    window, and vectors are stored under the text. Its documents are therefore split again in place, one by one.
    """
    own = (settings.chunk_tokens, settings.overlap_tokens)
    if own == (None, None):
        return space_splitter(space, model)
    max_tokens = settings.chunk_tokens or space.chunking_settings["max_tokens"]
    if max_tokens > space.max_tokens:
        raise UsageError(
            f"project {project}: chunk_tokens is {max_tokens}, but the window of {model.name} holds "
            f"{space.max_tokens} tokens; set it to {space.max_tokens} or less."
        )
    overlap = settings.overlap_tokens
    if overlap is None:
        overlap = min(space.chunking_settings["overlap_tokens"], (max_tokens - 1) // 2)
    return Splitter(model_tokenizer(model), max_tokens=max_tokens, overlap_tokens=overlap, fill=space_fill(space))

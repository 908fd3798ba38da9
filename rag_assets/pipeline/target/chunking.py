"""How texts are cut for a model: into chunks, and into pieces where they do not fit its window."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from rag_assets.documents.splitting.splitter import Splitter
from rag_assets.documents.splitting.tokenizer import count_tokens, load_tokenizer, special_token_count
from rag_assets.documents.text import fingerprint
from rag_assets.embedding.model import Model, document_prompt
from rag_assets.errors import UsageError
from rag_assets.projects.settings import ProjectSettings
from rag_assets.settings.settings import Settings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace
    from rag_assets.db.spaces.spaces import SpaceDefinition

# Models that read whole books still find passages better; more than this only on demand.
LONGEST_BY_DEFAULT = 512


def chunking_of(settings: Settings, model: Model, tokenizer: Tokenizer, room: int) -> dict[str, Any]:
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
    return cutting(tokenizer, max_tokens, settings.overlap_tokens)


def cutting(tokenizer: Tokenizer, max_tokens: int, overlap_tokens: int) -> dict[str, Any]:
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

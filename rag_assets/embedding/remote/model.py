"""The properties of a model over HTTP, without asking its server."""

from pathlib import Path

from rag_assets.db.models import EmbeddingSpace
from rag_assets.embedding.model import BUNDLED_MODELS, Model, download_model, find_bundled_model
from rag_assets.embedding.remote.dialects import DIALECTS
from rag_assets.embedding.remote.known_models import DEFAULT_WINDOW, KNOWN_MODELS
from rag_assets.embedding.remote.names import DOCUMENT_TYPE, QUERY_TYPE, TOKENIZER_SOURCE, split_name
from rag_assets.errors import UsageError
from rag_assets.settings.settings import Settings

# Servers do not tell which version of a model answers.
NO_REVISION = "api"
_NOT_SENT = "-"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json", "modules.json", "sentence_*_config.json")


def find_remote_model(settings: Settings) -> Model:
    """The model of the settings; raises UsageError when neither they nor its name say its dimensions."""
    dialect_name, own_name = split_name(settings.model)
    dialect, known, bundled = DIALECTS[dialect_name], KNOWN_MODELS.get(settings.model), find_bundled_model(own_name)
    dimensions = (known or bundled or _Unknown).dimensions or settings.dimensions
    if dimensions is None:
        raise UsageError(
            f"the model {settings.model} is not known; set RAG_ASSETS_DIMENSIONS to the dimensions of its vectors."
        )
    source = settings.tokenizer or (own_name if bundled is not None else None)
    types = {
        DOCUMENT_TYPE: settings.embedding_document_type or dialect.document_type,
        QUERY_TYPE: settings.embedding_query_type or dialect.query_type,
    }
    return Model(
        name=f"{dialect_name}:{own_name}",
        revision=settings.model_revision or NO_REVISION,
        path=None if source is None else _tokenizer_folder(source),
        dimensions=dimensions,
        window=settings.model_window or (known or bundled or _Unknown).window,
        normalizes=False,
        prompts={name: value for name, value in types.items() if value not in (None, _NOT_SENT)},
        tokenizer_source=source,
    )


def remote_model_of(space: EmbeddingSpace) -> Model:
    """The model of a space, with the tokenizer that its texts were split by."""
    source = space.chunking_settings.get(TOKENIZER_SOURCE)
    return Model(
        name=space.model,
        revision=space.revision,
        path=None if source is None else _tokenizer_folder(source),
        dimensions=space.dimensions,
        window=space.max_tokens,
        normalizes=False,
        prompts=space.prompts,
        tokenizer_source=source,
    )


class _Unknown:
    dimensions = None
    window = DEFAULT_WINDOW


def _tokenizer_folder(source: str) -> Path:
    folder = Path(source).expanduser()
    if folder.name == "tokenizer.json" and folder.is_file():
        return folder.parent
    if folder.is_dir():
        return folder
    bundled = find_bundled_model(source) if source in BUNDLED_MODELS else None
    if bundled is not None and bundled.path is not None:
        return bundled.path
    return download_model(
        source,
        None,
        instead="set RAG_ASSETS_TOKENIZER to a folder with a tokenizer.json, or unset it: tokens are then estimated.",
        only=_TOKENIZER_FILES,
    )

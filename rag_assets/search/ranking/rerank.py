"""A second look at the best candidates, question and text together; slower than vectors and words, and better."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rag_assets.embedding.model import download_model
from rag_assets.errors import ServiceError, UsageError
from rag_assets.settings.settings import Settings
from rag_assets.validation import format_value

Row = TypeVar("Row")

BATCH_TEXTS = 32
_ADVICE = "set RAG_ASSETS_RERANKER to the folder of a cross-encoder."
# What a cross-encoder's checkpoint is; another would be given a head of random numbers, and score at random.
_SCORING = ("ForSequenceClassification", "ForCausalLM")


class Reranker(Protocol):
    """What an application may put in the place of a cross-encoder."""

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite number a text, in their order; more is better. Called from any thread."""
        ...


def rerank(
    reranker: Reranker, query: str, candidates: Sequence[Row], *, text_of: Callable[[Row], str], most: int
) -> list[tuple[float | None, Row]]:
    """(score, candidate): the first `most` of the candidates by their new score, then the others as they were.

    Equal texts are scored once; ties stay in the given order. Raises UsageError when the reranker does not give one
    finite number a text.
    """
    scored = candidates[:most]
    texts = list(dict.fromkeys(text_of(row) for row in scored))
    scores_of = reranker.score(query, texts) if texts else []
    try:
        given = [float(score) for score in scores_of]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"the reranker gave {format_value(scores_of)}; it must give one finite number for each text."
        ) from None
    if len(given) != len(texts):
        raise UsageError(f"the reranker gave {len(given)} scores for {len(texts)} texts; it must give one for each.")
    wrong = next((score for score in given if not math.isfinite(score)), None)
    if wrong is not None:
        raise UsageError(f"the reranker gave the score {wrong}; it must give finite numbers, or not be asked.")
    scores = dict(zip(texts, given, strict=True))
    best = sorted(((scores[text_of(row)], row) for row in scored), key=lambda pair: -pair[0])
    return [*best, *((None, row) for row in candidates[most:])]


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers with one score a pair; found and loaded when it is first asked."""

    def __init__(self, name: str, revision: str | None = None, *, device: str | None = None) -> None:
        self.name = name
        self._revision = revision
        self._device = device
        self._loaded: Any = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Raises ServiceError for a model that cannot be had, and UsageError for one that is no cross-encoder."""
        if not texts:
            return []
        # One at a time: the model's tokenizer cannot be shared by two threads, and its work takes all cores anyway.
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_cross_encoder(self.name, self._revision, self._device)
            pairs = [(query, text) for text in texts]
            scores = self._loaded.predict(pairs, batch_size=BATCH_TEXTS, show_progress_bar=False)
        return [float(score) for score in scores]


@cache
def get_reranker(name: str, revision: str | None = None, *, device: str | None = None) -> Reranker:
    """The reranker of this model; one a process, whoever asks."""
    return CrossEncoderReranker(name, revision, device=device)


def reranker_from_settings(settings: Settings) -> Reranker:
    """The one that the settings name; raises UsageError when they name none."""
    if settings.reranker is None:
        raise UsageError(
            "no reranker is set; set RAG_ASSETS_RERANKER to a cross-encoder (its name on the hub, or a folder)."
        )
    return get_reranker(settings.reranker, settings.reranker_revision, device=settings.device)


def _load_cross_encoder(name: str, revision: str | None, device: str | None) -> Any:
    folder = Path(name).expanduser()
    path = folder if folder.is_dir() else download_model(name, revision, instead=_ADVICE)
    try:
        kinds = json.loads((path / "config.json").read_text("utf-8")).get("architectures") or ["unknown"]
        model = _open_cross_encoder(path, device) if kinds[0].endswith(_SCORING) else None
    except Exception as error:
        # Broken and missing files are told by each of the libraries in its own way.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ServiceError(f"the reranker {name!r} cannot be loaded: {reason}; {_ADVICE}") from error
    if model is None:
        raise UsageError(f"{name!r} is no cross-encoder (its architecture is {kinds[0]}); {_ADVICE}")
    if model.num_labels != 1:
        raise UsageError(f"{name!r} gives {model.num_labels} scores for a pair, not one; {_ADVICE}")
    return model


def _open_cross_encoder(path: Path, device: str | None) -> Any:
    import logging

    from sentence_transformers import CrossEncoder
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    # The files are all on disk by now; nothing is asked of the hub again.
    return CrossEncoder(str(path), device=device, local_files_only=True)

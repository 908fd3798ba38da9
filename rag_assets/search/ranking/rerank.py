"""Rerank the best candidates with a cross-encoder, which reads query and text together: slower, but more accurate."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rag_assets.embedding.faults import describe_fault, is_fault
from rag_assets.embedding.model import download_model, refuse_pickles
from rag_assets.errors import ServiceError, UsageError
from rag_assets.settings.settings import Settings
from rag_assets.validation import format_value

Row = TypeVar("Row")

BATCH_TEXTS = 32
_ADVICE = "set RAG_ASSETS_RERANKER to the folder of a cross-encoder."
# Architectures of cross-encoders. Other models would be loaded with a randomly initialized head, and score at random.
_SCORING = ("ForSequenceClassification", "ForCausalLM")


class Reranker(Protocol):
    """The interface of a reranker; an application may pass its own one instead of a cross-encoder."""

    def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite number for each text, in order; higher is better. May be called from any thread."""
        ...


def rerank(
    reranker: Reranker, query: str, candidates: Sequence[Row], *, text_of: Callable[[Row], str], limit: int
) -> list[tuple[float | None, Row]]:
    """(score, candidate): the first `limit` candidates by their new scores, then the others in order, without a score.

    Equal texts are scored once; ties keep the given order. Raises UsageError where the reranker does not return one
    finite number for each text.
    """
    scored = candidates[:limit]
    texts = list(dict.fromkeys(text_of(row) for row in scored))
    returned = reranker.score(query, texts) if texts else []
    try:
        numbers = [float(score) for score in returned]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"the reranker returned {format_value(returned)}; it must return one finite number for each text."
        ) from None
    if len(numbers) != len(texts):
        raise UsageError(
            f"the reranker returned {len(numbers)} scores for {len(texts)} texts; it must return one for each."
        )
    wrong = next((score for score in numbers if not math.isfinite(score)), None)
    if wrong is not None:
        raise UsageError(f"the reranker returned the score {wrong}; it must return finite numbers.")
    scores = dict(zip(texts, numbers, strict=True))
    best = sorted(((scores[text_of(row)], row) for row in scored), key=lambda pair: -pair[0])
    return [*best, *((None, row) for row in candidates[limit:])]


class CrossEncoderReranker:
    """A cross-encoder of sentence-transformers with one score for each pair; loaded at the first call of `score`."""

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
        """The score of each text.

        Raises ServiceError where the model cannot be loaded or fails, UsageError where it is no cross-encoder with one
        score.
        """
        if not texts:
            return []
        # One call at a time: the tokenizer is not thread-safe, and one call uses all cores anyway.
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_cross_encoder(self.name, self._revision, self._device)
            pairs = [(query, text) for text in texts]
            try:
                scores = self._loaded.predict(pairs, batch_size=BATCH_TEXTS, show_progress_bar=False)
            except BaseException as error:
                if not is_fault(error):
                    raise
                reason = describe_fault(error, [query, *texts])
                # Without its cause, whose message and traceback may quote the texts.
                raise ServiceError(f"the reranker {self.name!r} failed: {reason}; {_ADVICE}") from None
        return [float(score) for score in scores]


@cache
def get_reranker(name: str, revision: str | None = None, *, device: str | None = None) -> Reranker:
    """The reranker of this model, one instance for each process."""
    return CrossEncoderReranker(name, revision, device=device)


def reranker_from_settings(settings: Settings) -> Reranker:
    """The reranker that the settings name; raises UsageError where they name none."""
    if settings.reranker is None:
        raise UsageError(
            "no reranker is set; set RAG_ASSETS_RERANKER to a cross-encoder (its name on the hub, or a folder)."
        )
    return get_reranker(settings.reranker, settings.reranker_revision, device=settings.device)


def _load_cross_encoder(name: str, revision: str | None, device: str | None) -> Any:
    folder = Path(name).expanduser()
    path = folder if folder.is_dir() else download_model(name, revision, instead=_ADVICE)
    refuse_pickles(path)
    try:
        kinds = json.loads((path / "config.json").read_text("utf-8")).get("architectures") or ["unknown"]
        model = _open_cross_encoder(path, device) if kinds[0].endswith(_SCORING) else None
    except Exception as error:
        # Each library raises its own exceptions for broken and missing files.
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
    # All files are on disk by now: do not ask the hub again. Code that comes with a model is never run.
    return CrossEncoder(str(path), device=device, local_files_only=True, trust_remote_code=False)

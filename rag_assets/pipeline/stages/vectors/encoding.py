"""Vectors of one batch of texts from the model, and what it refuses of them."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_assets.db.models import EmbeddingSpace
from rag_assets.db.writes.rows import EmbeddingFailureRow, EmbeddingRow
from rag_assets.embedding.batches import PartlyEncodedError
from rag_assets.embedding.encoder import Encoder
from rag_assets.embedding.faults import describe_fault, is_fault, withhold_words
from rag_assets.errors import RagAssetsError
from rag_assets.pipeline.stages.batches import EmbeddingBatch
from rag_assets.pipeline.stages.vectors.text_slices import Text
from rag_assets.pipeline.stages.vectors.vector_faults import vector_fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Embedded to tell a model that fails from a text that it refuses; never stored.
PROBE: Text = (b"", "a text", 2)


def embed_batch(
    key: str, space: EmbeddingSpace, encoder: Encoder, texts: Sequence[Text]
) -> tuple[EmbeddingBatch, RagAssetsError | None]:
    """The batch, and the error after which no further text may be tried."""
    started = time.perf_counter()
    batch = EmbeddingBatch(key, space.id)
    stopped = _encode_into(batch, encoder, space, texts)
    batch.figures = {
        "embedded": len(batch.rows),
        "tokens": sum(tokens for _, _, tokens in texts),
        "model_s": time.perf_counter() - started,
    }
    too_long = sum(tokens > space.max_tokens for _, _, tokens in texts)
    if too_long:
        batch.figures["longer_than_window"] = too_long
    return batch, stopped


def embed_again(
    key: str, space: EmbeddingSpace, encoder: Encoder, texts: Sequence[Text]
) -> tuple[EmbeddingBatch, RagAssetsError | None]:
    """Ask once more for texts that the model refused, and whether it embeds anything at all.

    Without their vectors a document is found by some of its texts only: that must not be for an outage of the model.
    """
    again, probe = EmbeddingBatch(key, space.id), EmbeddingBatch(key, space.id)
    for text in texts:
        if stopped := _encode_into(again, encoder, space, [text]):
            return again, stopped
    stopped = _encode_into(probe, encoder, space, [PROBE])
    figures: dict[str, float] = {"embedded": len(again.rows), "tokens": 0}
    return EmbeddingBatch(key, space.id, again.rows, figures=figures, has_refused=bool(probe.rows)), stopped


def _encode_into(
    batch: EmbeddingBatch, encoder: Encoder, space: EmbeddingSpace, texts: Sequence[Text]
) -> RagAssetsError | None:
    """Add the texts' vectors to the batch. When the model raises, halve the texts until the culprit is alone.

    Returns the error that says that the model cannot be used at all.
    """
    try:
        vectors = encoder.encode([text for _, text, _ in texts])
        if len(vectors) != len(texts):
            raise ValueError(f"the model gave {len(vectors)} vectors for {len(texts)} texts")
    except PartlyEncodedError as error:
        for text in texts:
            if text[1] in error.reasons:
                batch.faults.append(EmbeddingFailureRow(text[0], withhold_words(error.reasons[text[1]], [text[1]])))
            elif text[1] in error.vectors:
                _add(batch, space, text, error.vectors[text[1]])
        return error.stopped
    except RagAssetsError as error:
        return error
    except BaseException as error:
        if not is_fault(error):
            raise
        if len(texts) == 1:
            hash_, words, _ = texts[0]
            batch.faults.append(EmbeddingFailureRow(hash_, describe_fault(error, [words])))
            return None
        middle = len(texts) // 2
        stopped = _encode_into(batch, encoder, space, texts[:middle])
        return stopped or _encode_into(batch, encoder, space, texts[middle:])
    for text, vector in zip(texts, vectors, strict=True):
        _add(batch, space, text, vector)
    return None


def _add(batch: EmbeddingBatch, space: EmbeddingSpace, text: Text, vector: "NDArray[np.float32]") -> None:
    reason = vector_fault(vector, space.dimensions, normalized=space.normalize)
    if reason:
        batch.faults.append(EmbeddingFailureRow(text[0], reason))
    else:
        batch.rows.append(EmbeddingRow(text[0], vector))

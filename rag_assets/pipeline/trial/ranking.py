"""The rankings of a sample by two models, compared by cosine over all of its vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_assets.embedding.encoder import Encoder
from rag_assets.pipeline.trial.sample import DocumentKey, SampledChunk, TrialQuery
from rag_assets.search.evaluation.metrics import PAGE_SIZE, compute_metrics, mean_metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COMPARED_METRICS = ("ndcg@10", "recall@10")


def rank_chunks(encoder: Encoder, queries: Sequence[str], vectors: "NDArray[np.float32]") -> "NDArray[np.intp]":
    """For each query, the chunks from the best to the worst, compared by cosine."""
    import numpy as np

    asked = _unit(np.stack([encoder.encode_query(query) for query in queries]))
    ranked: NDArray[np.intp] = np.argsort(-(asked @ _unit(vectors).T), axis=1, kind="stable")
    return ranked


def _unit(vectors: "NDArray[np.float32]") -> "NDArray[np.float32]":
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def score_rankings(
    queries: Sequence[TrialQuery], ranked: "NDArray[np.intp]", chunks: Sequence[SampledChunk]
) -> dict[str, float]:
    judged = [{_label(key): grade for key, grade in query.relevant.items()} for query in queries]
    found = [list(dict.fromkeys(_label(chunks[index].document) for index in row)) for row in ranked]
    means = mean_metrics(compute_metrics(judged, found))
    return {name: means[name] for name in _COMPARED_METRICS}


def _label(document: DocumentKey) -> str:
    return "/".join(document)


def share_of_best(one: "NDArray[np.intp]", other: "NDArray[np.intp]") -> float:
    size = min(PAGE_SIZE, one.shape[1])
    shared = [len(set(a[:size]) & set(b[:size])) / size for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    return round(float(sum(shared)) / len(shared), 4)

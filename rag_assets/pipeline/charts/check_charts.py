"""The charts of the checks."""

from collections.abc import Mapping, Sequence
from typing import Any

from rag_assets.pipeline.charts.markdown import Markdown

_MOST_BINS = 25
_MOST_TYPES = 9


def documents_by_type(counts: Mapping[str, Mapping[str, int]]) -> Markdown:
    """{file type: {status: documents}}, the most frequent type first; the rarest types share one bar."""
    from rag_assets.pipeline.charts.plots import bars

    groups = dict(list(counts.items())[:_MOST_TYPES])
    for parts in list(counts.values())[_MOST_TYPES:]:
        others = groups.setdefault("others", {})
        groups["others"] = {name: others.get(name, 0) + parts.get(name, 0) for name in {**others, **parts}}
    return Markdown(bars("Documents by type and status", "documents", groups))


def chunk_lengths(counts: Mapping[int, int], window: int) -> Markdown:
    """{tokens: chunks}, with the model's window as a line."""
    from rag_assets.pipeline.charts.plots import histogram

    width = max(1, -(-max([window, *counts]) // _MOST_BINS))
    # One bar ends exactly at the window, so that chunks that just fit are drawn before its line.
    bins: dict[int, int] = {}
    for tokens, chunks in counts.items():
        end = window - (window - tokens) // width * width
        bins[end] = bins.get(end, 0) + chunks
    bars = [(max(0, end - width), end, bins[end]) for end in sorted(bins)]
    return Markdown(histogram("Lengths of the chunks", "tokens", bars, limits={f"window {window}": window}))


def latencies(times_ms: Sequence[float], p95_ms: float, limit_ms: float) -> Markdown:
    from rag_assets.pipeline.charts.plots import binned, histogram

    limits = {f"p95 {p95_ms:.1f} ms": p95_ms}
    # A limit far from the measured times would squeeze them into one bar.
    if limit_ms < 4 * max(times_ms):
        limits[f"limit {limit_ms:g} ms"] = limit_ms
    return Markdown(histogram(f"Searches, limit {limit_ms:g} ms", "ms", binned(times_ms), limits=limits))


def recall_against_latency(tuning: Mapping[str, Any], limit: float) -> Markdown:
    """The curve that `rag-assets tune` measured, by kind of query."""
    from rag_assets.pipeline.charts.plots import curve

    lines: dict[str, list[tuple[float, float]]] = {}
    for point in tuning.get("points", ()):
        for kind, recall in point["recall"].items():
            lines.setdefault(kind.replace("_", " "), []).append((point["p95_ms"], recall))
    return Markdown(
        curve("Recall against latency, by ef_search", "p95, ms", "recall@10", lines, limit=(f"limit {limit:g}", limit))
    )

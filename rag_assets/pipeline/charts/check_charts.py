"""What the checks found, as charts."""

from collections.abc import Mapping, Sequence
from typing import Any

from rag_assets.pipeline.charts.markdown import Markdown

_BINS = 25
_TYPES = 9


def documents_by_type(counts: Mapping[str, Mapping[str, int]]) -> Markdown:
    """{file type: {status: documents}}, the most frequent first; the rarest are shown together."""
    from rag_assets.pipeline.charts.plots import bars

    shown = dict(list(counts.items())[:_TYPES])
    for parts in list(counts.values())[_TYPES:]:
        others = shown.setdefault("others", {})
        shown["others"] = {name: others.get(name, 0) + parts.get(name, 0) for name in {**others, **parts}}
    return Markdown(bars("Documents by type and status", "documents", shown))


def chunk_lengths(counts: Mapping[int, int], window: int) -> Markdown:
    """{tokens: chunks}, against what the model sees."""
    from rag_assets.pipeline.charts.plots import histogram

    width = max(1, -(-max([window, *counts]) // _BINS))
    # Each bar ends where the next begins, one of them at the window: what just fits stands before that line.
    bins: dict[int, int] = {}
    for tokens, chunks in counts.items():
        end = window - (window - tokens) // width * width
        bins[end] = bins.get(end, 0) + chunks
    bars = [(max(0, end - width), end, bins[end]) for end in sorted(bins)]
    return Markdown(histogram("Lengths of the chunks", "tokens", bars, limits={f"the model sees {window}": window}))


def latencies(times_ms: Sequence[float], p95_ms: float, limit_ms: float) -> Markdown:
    from rag_assets.pipeline.charts.plots import binned, histogram

    limits = {f"p95 {p95_ms:.1f} ms": p95_ms}
    # Far from the searches, the limit would press them into one bar.
    if limit_ms < 4 * max(times_ms):
        limits[f"limit {limit_ms:g} ms"] = limit_ms
    return Markdown(histogram(f"Searches, limit {limit_ms:g} ms", "ms", binned(times_ms), limits=limits))


def recall_against_latency(tuning: Mapping[str, Any], limit: float) -> Markdown:
    """The curve that `rag-assets tune` measured, by kind of question."""
    from rag_assets.pipeline.charts.plots import curve

    lines: dict[str, list[tuple[float, float]]] = {}
    for point in tuning.get("points", ()):
        for kind, recall in point["recall"].items():
            lines.setdefault(kind.replace("_", " "), []).append((point["p95_ms"], recall))
    return Markdown(
        curve("Recall against latency, by ef_search", "p95, ms", "recall@10", lines, level=(f"limit {limit:g}", limit))
    )

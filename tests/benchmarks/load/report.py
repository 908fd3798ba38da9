"""The figures of a run, and what of them is beyond the limits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.load.searchers import ANSWER, MODES
from tests.benchmarks.load.server_watch import Watched
from tests.benchmarks.timing import percentile

P99_LIMIT_MS = 250.0
MAX_LIMIT_MS = 1000.0
IDLE_LIMIT_S = 1.0
GROWTH_LIMIT = 1.05
_SLOWEST = 8


def read_answers(paths: Sequence[Path]) -> list[tuple[float, float, int]]:
    return sorted(one for path in paths for one in ANSWER.iter_unpack(path.read_bytes()))


def search_figures(answers: Sequence[tuple[float, float, int]], start: float, end: float) -> dict[str, Any]:
    """Answers that began between `start` and `end`; those before warmed up."""
    counted = [one for one in answers if start <= one[0] < end]
    modes: dict[str, list[float]] = {name: [] for name in MODES}
    names = list(MODES)
    for _, took_s, mode in counted:
        modes[names[mode]].append(took_s * 1000)
    slowest = sorted(counted, key=lambda one: -one[1])[:_SLOWEST]
    return {
        "answers": len(counted),
        "answers_per_s": round(len(counted) / max(end - start, 1e-9), 1),
        **_percentiles([took_s * 1000 for _, took_s, _ in counted]),
        "modes": {name: {"answers": len(times), **_percentiles(times)} for name, times in modes.items()},
        "slowest": [
            {"at_s": round(began - start, 1), "ms": round(took_s * 1000), "mode": names[mode]}
            for began, took_s, mode in slowest
        ],
        "warm_up_max_ms": round(max([took_s for began, took_s, _ in answers if began < start] or [0.0]) * 1000),
    }


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    if not times:
        return {}
    return {f"p{share}_ms": round(percentile(times, share), 1) for share in (50, 95, 99)} | {
        "max_ms": round(max(times), 1)
    }


def memory_figures(watched: Watched, start: float, end: float) -> dict[str, Any]:
    """Means of the first and the last third of the time after the warm-up.

    Of processes that live in both: how many ingests run in each is chance.
    """
    third = (end - start) / 3
    figures: dict[str, Any] = {}
    for place, name in enumerate(("applications", "server"), start=1):
        first: list[Any] = [one[place] for one in watched.memory if start <= one[0] < start + third]
        last: list[Any] = [one[place] for one in watched.memory if end - third <= one[0] < end]
        lasting = {pid for one in first for pid in one} & {pid for one in last for pid in one}
        if lasting:
            before, after = (
                sum(_mean([one[pid] for one in part if pid in one]) for pid in lasting) for part in (first, last)
            )
            figures[name] = {
                "first_third_mb": round(before, 1),
                "last_third_mb": round(after, 1),
                "growth": round(after / max(before, 1), 3),
            }
    return figures


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def misses(found: dict[str, Any]) -> list[str]:
    """Each limit that the run did not keep, with its value."""
    searches = found["searches"]
    limits = [
        ("errors", found["errors"], 0),
        ("lost writes", found["lost"], 0),
        ("duplicates", found["duplicates"], 0),
        ("p99 of searches in ms", searches.get("p99_ms", float("inf")), P99_LIMIT_MS),
        ("slowest answer in ms", searches.get("max_ms", float("inf")), MAX_LIMIT_MS),
        ("idle in transaction in s", found["idle_in_transaction_s"], IDLE_LIMIT_S),
        *(
            (f"connections of {name} beyond its pool", one["peak"], one["maximum"])
            for name, one in found["pools"].items()
        ),
        *((f"growth of the memory of {name}", one["growth"], GROWTH_LIMIT) for name, one in found["memory"].items()),
    ]
    return [f"{name}: {value}, at most {limit}" for name, value, limit in limits if value > limit]

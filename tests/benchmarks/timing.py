"""Measure the latency of single calls and the throughput of concurrent clients."""

import asyncio
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

Call = Callable[[int], Any]
AsyncCall = Callable[[int], Awaitable[Any]]


def measure_latencies(variants: Mapping[str, Call], questions: int, rounds: int) -> dict[str, dict[str, float]]:
    """p50, p95 and p99 in milliseconds of each variant over queries 0, 1, …: medians over the rounds.

    Each query runs in all variants, one after the other, in random order. So all variants meet the same load and the
    same pages, and each runs equally often after one that pushed its pages out of the caches. A first pass, which is
    not counted, warms the caches for all: the pages of the graph differ between queries, and the variant that reads
    them from disk first would pay for the others.
    """
    order = list(variants)
    chance = random.Random(0)
    for question in range(questions):
        for variant in variants.values():
            variant(question)
    found: dict[str, list[list[float]]] = {name: [] for name in order}
    for _ in range(rounds):
        times: dict[str, list[float]] = {name: [] for name in order}
        for question in range(questions):
            chance.shuffle(order)
            for name in order:
                started = time.perf_counter()
                variants[name](question)
                times[name].append((time.perf_counter() - started) * 1000)
        for name, taken in times.items():
            found[name].append(taken)
    return {name: _summarize(taken) for name, taken in found.items()}


def _summarize(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    return {
        f"p{share}_ms": round(statistics.median(percentile(one, share) for one in rounds), 3) for share in (50, 95, 99)
    }


def percentile(times: Sequence[float], share: int) -> float:
    """The percentile by the nearest-rank method."""
    ordered = sorted(times)
    return ordered[math.ceil(len(ordered) * share / 100) - 1]


async def measure_throughput(
    variants: Mapping[str, Sequence[AsyncCall]], *, seconds: float, rounds: int = 3
) -> dict[str, float]:
    """Calls per second of all clients of each variant, each calling without a pause: medians over the rounds."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for number in range(-1, rounds):
        for name in order:
            # The round before the first only connects and prepares statements.
            rate = await _measure_rate(variants[name], seconds if number >= 0 else seconds / 3)
            if number >= 0:
                found[name].append(rate)
        order.reverse()
    return {name: round(statistics.median(rates), 1) for name, rates in found.items()}


async def _measure_rate(clients: Sequence[AsyncCall], seconds: float) -> float:
    started = time.perf_counter()
    end = started + seconds

    async def ask(number: int, call: AsyncCall) -> int:
        done = 0
        while time.perf_counter() < end:
            await call(number * 37 + done)
            done += 1
        return done

    done = await asyncio.gather(*(ask(number, call) for number, call in enumerate(clients)))
    return sum(done) / (time.perf_counter() - started)

"""How long calls take one at a time, and how many of them a number of clients get done."""

import asyncio
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

Call = Callable[[int], Any]
AsyncCall = Callable[[int], Awaitable[Any]]


def latencies(ways: Mapping[str, Call], questions: int, rounds: int) -> dict[str, dict[str, float]]:
    """p50, p95 and p99 in milliseconds of each way to ask question 0, 1, …: medians over the rounds.

    Each question is asked in all ways, one after the other, in an order by chance; so all meet the same machine and the
    same pages, and each comes as often as another after one that pushed what it needs out of the caches. One pass
    before, which is not counted, warms all of them alike: the graph's pages differ from question to question, and what
    reads them from the disk first would pay for the others.
    """
    order = list(ways)
    chance = random.Random(0)
    for question in range(questions):
        for way in ways.values():
            way(question)
    found: dict[str, list[list[float]]] = {name: [] for name in order}
    for _ in range(rounds):
        times: dict[str, list[float]] = {name: [] for name in order}
        for question in range(questions):
            chance.shuffle(order)
            for name in order:
                started = time.perf_counter()
                ways[name](question)
                times[name].append((time.perf_counter() - started) * 1000)
        for name, taken in times.items():
            found[name].append(taken)
    return {name: _summary(taken) for name, taken in found.items()}


def _summary(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    return {
        f"p{share}_ms": round(statistics.median(percentile(one, share) for one in rounds), 3) for share in (50, 95, 99)
    }


def percentile(times: Sequence[float], share: int) -> float:
    """By nearest rank."""
    ordered = sorted(times)
    return ordered[math.ceil(len(ordered) * share / 100) - 1]


async def throughput(ways: Mapping[str, Sequence[AsyncCall]], *, seconds: float, rounds: int = 3) -> dict[str, float]:
    """Calls a second of each way's clients together, each asking without a pause: the medians over the rounds."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for number in range(-1, rounds):
        for name in order:
            # The round before the first one connects and prepares.
            rate = await _rate(ways[name], seconds if number >= 0 else seconds / 3)
            if number >= 0:
                found[name].append(rate)
        order.reverse()
    return {name: round(statistics.median(rates), 1) for name, rates in found.items()}


async def _rate(clients: Sequence[AsyncCall], seconds: float) -> float:
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

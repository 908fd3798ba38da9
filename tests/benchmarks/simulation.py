"""python -m tests.benchmarks.simulation [--measure] [--chunks 10000000,100000000] [--workers 1,4,16]: hours and money.

A model of an ingest on many workers: shards wait in a queue; a worker takes one, reads, splits and embeds it batch by
batch, and writes each batch to one server, whose processors serve one batch after the other. Workers die at random
times: the batch in flight is lost, the shard waits until the death is noticed, and goes on with the next batch on
another worker, while the dead one starts again. The index is built at the end. Everything random follows the seed.

--measure runs tests.benchmarks.embedders for 1 to 4 workers and simulates the same: what a start and a batch cost is
taken from two runs of one worker, over half of the texts and over all. The times of several are predicted, and `error`
is how far they are off.

Prints one JSON object. `extrapolated` has for each number of chunks and of workers `hours`, of these `index_hours`;
`deaths`; `embedded_twice` in texts; `busy` (the share of time in which workers and server work); and `cost`, from the
prices of a worker and of the server for an hour.
"""

import argparse
import heapq
import json
import math
import random
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import Any

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be done, and what it costs; seconds are of one batch.

    `prepare_*` is reading and splitting, `embed_*` what comes beside the model's own `model_s`: on the worker, and on
    the server. The defaults are the slopes of tests.benchmarks.scale between 10,000 and 30,000 chunks, of which each
    gets a half.
    """

    chunks: int
    shards: int = 64
    batch_texts: int = 256
    # Of a worker before its first shard, and of each run of a shard.
    start_s: float = 10.0
    run_s: float = 7.0
    model_s: float = 0.5
    prepare_worker_s: float = 0.000_7 * 256
    prepare_server_s: float = 0.000_7 * 256
    embed_worker_s: float = 0.001_9 * 256
    embed_server_s: float = 0.001_9 * 256
    # 26.9 s for 30,006 vectors, with exponent 1.04.
    index_s: float = 26.9
    index_chunks: int = 30_006
    index_exponent: float = 1.04

    def index_seconds(self) -> float:
        return self.index_s * math.pow(self.chunks / self.index_chunks, self.index_exponent)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Workers and one server. A worker lives `lifetime_s` on average; None: for ever."""

    workers: int
    server_cores: int = 2
    lifetime_s: float | None = None
    # A run without its lock is given up after 15 s, at which the monitor looks every 10 s.
    notice_s: tuple[float, float] = (15.0, 25.0)
    restart_s: float = 60.0


@dataclass(slots=True)
class Outcome:
    seconds: float = 0.0
    index_s: float = 0.0
    deaths: int = 0
    embedded: int = 0
    embedded_twice: int = 0
    worker_busy_s: float = 0.0
    server_busy_s: float = 0.0


@dataclass(slots=True)
class _Shard:
    prepare: int
    texts: deque[int]


@dataclass(slots=True)
class _Worker:
    dies_at: float
    shard: _Shard | None = None
    # The texts of the batch that it embeds now, 0 while it prepares.
    texts: int = 0
    idle: bool = False


@dataclass(slots=True)
class Simulation:
    """One ingest from its first shard to its index."""

    load: Load
    cluster: Cluster
    seed: int = 0
    outcome: Outcome = field(default_factory=Outcome)

    def run(self) -> Outcome:
        chance = random.Random(self.seed)
        workers = [_Worker(self._lifetime(chance)) for _ in range(self.cluster.workers)]
        waiting = deque(self._shards())
        left, order, cores = len(waiting), count(), [0.0] * self.cluster.server_cores
        events: list[tuple[float, int, str, Any]] = [
            (self.load.start_s, next(order), "take", worker) for worker in workers
        ]

        def plan(at: float, what: str, subject: Any) -> None:
            heapq.heappush(events, (at, next(order), what, subject))

        while left:
            now, _, what, subject = heapq.heappop(events)
            if what == "requeue":
                waiting.append(subject)
                for idle in [worker for worker in workers if worker.idle][:1]:
                    idle.idle = False
                    plan(now, "take", idle)
                continue
            worker: _Worker = subject
            if now >= worker.dies_at:
                # What it did since then never happened; the server may have worked for it.
                died = max(worker.dies_at, 0.0)
                self.outcome.deaths += 1
                self.outcome.embedded_twice += worker.texts
                if worker.shard is not None:
                    if worker.texts:
                        worker.shard.texts.appendleft(worker.texts)
                    plan(died + chance.uniform(*self.cluster.notice_s), "requeue", worker.shard)
                worker.shard, worker.texts, worker.idle = None, 0, False
                back = died + self.cluster.restart_s
                worker.dies_at = back + self._lifetime(chance)
                plan(max(now, back), "take", worker)
            elif what == "take":
                if not waiting:
                    worker.idle = True
                    continue
                worker.shard = waiting.popleft()
                plan(now + self.load.run_s, "begin", worker)
            elif what == "begin":
                assert worker.shard is not None
                if not worker.shard.prepare and not worker.shard.texts:
                    worker.shard = None
                    left -= 1
                    self.outcome.seconds = now
                    plan(now, "take", worker)
                    continue
                own = self.load.prepare_worker_s
                if not worker.shard.prepare:
                    worker.texts = worker.shard.texts.popleft()
                    own = self.load.model_s + self.load.embed_worker_s
                self.outcome.worker_busy_s += own
                plan(now + own, "write", worker)
            elif what == "write":
                cost = self.load.embed_server_s if worker.texts else self.load.prepare_server_s
                free = heapq.heappop(cores)
                heapq.heappush(cores, max(now, free) + cost)
                self.outcome.server_busy_s += cost
                plan(max(now, free) + cost, "written", worker)
            else:
                assert worker.shard is not None
                self.outcome.embedded += worker.texts
                worker.shard.prepare -= not worker.texts
                worker.texts = 0
                plan(now, "begin", worker)
        self.outcome.index_s = self.load.index_seconds()
        self.outcome.seconds += self.outcome.index_s
        return self.outcome

    def _lifetime(self, chance: random.Random) -> float:
        mean_s = self.cluster.lifetime_s
        return float("inf") if mean_s is None else chance.expovariate(1 / mean_s)

    def _shards(self) -> list[_Shard]:
        size, more = divmod(self.load.chunks, self.load.shards)
        sizes = [size + (number < more) for number in range(self.load.shards)]
        whole, step = [divmod(one, self.load.batch_texts) for one in sizes], self.load.batch_texts
        batches = [deque([step] * full + ([rest] if rest else [])) for full, rest in whole]
        return [_Shard(len(one), one) for one in batches if one]


def simulate(load: Load, cluster: Cluster, seed: int = 0) -> Outcome:
    return Simulation(load, cluster, seed).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=_numbers, default=[10_000_000, 100_000_000])
    parser.add_argument("--workers", type=_numbers, default=[1, 4, 16])
    parser.add_argument("--server-cores", type=int, default=8)
    parser.add_argument("--model-texts-s", type=float, default=500, help="texts that one worker's model embeds in 1 s")
    parser.add_argument("--lifetime-hours", type=float, default=24, help="of a worker, on average")
    parser.add_argument("--worker-price", type=float, default=0.5, help="for an hour")
    parser.add_argument("--server-price", type=float, default=2.0, help="for an hour")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    report: dict[str, Any] = {"compared": compare()} if options.measure else {}
    report["extrapolated"] = {
        chunks: {workers: _extrapolate(chunks, workers, options) for workers in options.workers}
        for chunks in options.chunks
    }
    print(json.dumps(report))


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _extrapolate(chunks: int, workers: int, options: argparse.Namespace) -> dict[str, float]:
    load = Load(chunks, shards=max(64, 4 * workers))
    load = replace(load, model_s=load.batch_texts / options.model_texts_s)
    lifetime_s = options.lifetime_hours * HOUR_S
    found = simulate(load, Cluster(workers, options.server_cores, lifetime_s), options.seed)
    hours, index_hours = found.seconds / HOUR_S, found.index_s / HOUR_S
    working_s = found.seconds - found.index_s
    return {
        "hours": round(hours, 1),
        "index_hours": round(index_hours, 1),
        "deaths": found.deaths,
        "embedded_twice": found.embedded_twice,
        "busy_workers": round(found.worker_busy_s / working_s / workers, 2),
        "busy_server": round(found.server_busy_s / working_s / options.server_cores, 2),
        # Workers are not needed for the index.
        "cost": round(hours * options.server_price + (hours - index_hours) * workers * options.worker_price, 2),
    }


def compare(batches: int = 60, batch_s: float = 0.2) -> dict[str, Any]:
    """What tests.benchmarks.embedders measures for 1 to 4 workers that share a project, and what is simulated."""
    from tests.benchmarks.embedders import BATCH_TEXTS, measure_workers

    half_s = measure_workers(batches // 2 * BATCH_TEXTS, batch_s, (1,))[1]["seconds"]
    measured = measure_workers(batches * BATCH_TEXTS, batch_s, (1, 2, 3, 4))
    seconds = {workers: one["seconds"] for workers, one in measured.items()}
    # How much of it the process does and how much the server is unknown: on these cores, they take turns.
    beside_s = max(0.0, (seconds[1] - half_s) / (batches - batches // 2) - batch_s)
    load = Load(
        batches * BATCH_TEXTS,
        # Each batch is claimed by itself.
        shards=batches,
        batch_texts=BATCH_TEXTS,
        start_s=max(0.0, seconds[1] - batches * (batch_s + beside_s)),
        run_s=0,
        model_s=batch_s,
        prepare_worker_s=0,
        prepare_server_s=0,
        embed_worker_s=0,
        embed_server_s=beside_s,
        index_s=0,
    )
    found = {}
    for workers, took_s in seconds.items():
        simulated = simulate(load, Cluster(workers)).seconds
        found[workers] = {
            "measured_s": took_s,
            "simulated_s": round(simulated, 3),
            "error": round(simulated / took_s - 1, 3),
            "embedded_twice": measured[workers]["embedded_twice"],
        }
    return {"load": asdict(load), "workers": found}


if __name__ == "__main__":
    main()

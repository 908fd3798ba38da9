"""Laws of the simulated ingest."""

from dataclasses import replace

import pytest

from tests.benchmarks.simulation import Cluster, Load, Outcome, simulate

LOAD = Load(200_000, shards=48)
MORTAL = Cluster(4, lifetime_s=300)


def ingest_s(outcome: Outcome) -> float:
    return outcome.seconds - outcome.index_s


@pytest.mark.parametrize("seed", range(2))
def test_the_same_seed_gives_the_same_outcome_and_another_one_other_deaths(seed: int) -> None:
    assert simulate(LOAD, MORTAL, seed) == simulate(LOAD, MORTAL, seed)
    assert simulate(LOAD, MORTAL, seed) != simulate(LOAD, MORTAL, seed + 100)
    assert simulate(LOAD, Cluster(4), seed) == simulate(LOAD, Cluster(4), seed + 100)


def test_more_workers_are_never_slower_and_never_gain_more_than_their_number() -> None:
    seconds = [ingest_s(simulate(LOAD, Cluster(workers, server_cores=4))) for workers in (1, 2, 4, 8, 16, 48)]
    assert seconds == sorted(seconds, reverse=True)
    for workers, taken in zip((1, 2, 4, 8, 16, 48), seconds, strict=True):
        assert seconds[0] / taken <= workers + 1e-9


@pytest.mark.parametrize("workers", [1, 3, 12, 100])
@pytest.mark.parametrize("cores", [1, 2, 8])
def test_no_ingest_is_faster_than_its_work_on_all_workers_or_on_the_server(workers: int, cores: int) -> None:
    found = simulate(LOAD, Cluster(workers, server_cores=cores))
    assert ingest_s(found) >= found.worker_busy_s / min(workers, LOAD.shards)
    assert ingest_s(found) >= found.server_busy_s / cores
    # With more workers than the server serves, the server alone decides.
    if workers == 100 and cores == 1:
        assert ingest_s(found) == pytest.approx(found.server_busy_s, rel=0.05)


def test_twice_the_chunks_take_twice_the_time_and_a_little_more_for_the_index() -> None:
    load = replace(LOAD, start_s=0, run_s=0, batch_texts=32)
    half, whole = simulate(replace(load, chunks=100_000), Cluster(4)), simulate(load, Cluster(4))
    assert (half.embedded, whole.embedded) == (100_000, 200_000)
    assert ingest_s(whole) / ingest_s(half) == pytest.approx(2, rel=0.1)
    assert whole.index_s / half.index_s == pytest.approx(2**1.04)


@pytest.mark.parametrize("seed", range(4))
def test_all_texts_are_embedded_whoever_dies_and_a_death_repeats_one_batch_at_most(seed: int) -> None:
    calm, found = simulate(LOAD, replace(MORTAL, lifetime_s=None)), simulate(LOAD, MORTAL, seed)
    assert (calm.deaths, calm.embedded_twice, calm.embedded) == (0, 0, LOAD.chunks)
    assert found.deaths > 0
    assert found.embedded == LOAD.chunks
    assert 0 < found.embedded_twice <= found.deaths * LOAD.batch_texts


@pytest.mark.parametrize("seed", range(4))
def test_a_death_costs_a_lone_worker_its_batch_its_restart_and_the_notice(seed: int) -> None:
    alone = Cluster(1, lifetime_s=600)
    calm, found = simulate(LOAD, replace(alone, lifetime_s=None)), simulate(LOAD, alone, seed)
    batch_s = LOAD.model_s + LOAD.embed_worker_s + LOAD.embed_server_s
    most_s = max(alone.restart_s, alone.notice_s[1]) + LOAD.run_s + batch_s
    assert ingest_s(calm) <= ingest_s(found) <= ingest_s(calm) + found.deaths * most_s
    assert ingest_s(found) >= ingest_s(calm) + (found.deaths - 1) * alone.restart_s
    assert (ingest_s(calm) < ingest_s(found)) == (found.deaths > 0)


def test_shorter_lives_cost_more_on_average() -> None:
    def mean_s(lifetime_s: float) -> float:
        return sum(simulate(LOAD, replace(MORTAL, lifetime_s=lifetime_s), seed).seconds for seed in range(10)) / 10

    assert mean_s(100) > mean_s(300) > mean_s(3_000) >= simulate(LOAD, replace(MORTAL, lifetime_s=None)).seconds

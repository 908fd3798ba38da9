"""Policies of the assets: pools, retries, backfills and freshness."""

import dagster as dg
import pytest

from rag_assets.definitions import defs
from rag_assets.errors import UsageError
from rag_assets.orchestration.assets.policies import freshness_policy
from rag_assets.settings.settings import load_settings

ASSETS = {asset.key.to_user_string(): asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition)}


def test_steps_that_use_models_or_build_indexes_are_in_their_pools() -> None:
    pools = {name: asset.op.pool for name, asset in ASSETS.items()}
    use_models = {"embeddings", "message_embeddings", "memory_embeddings"}
    assert {name for name, pool in pools.items() if pool == "embedder"} == use_models
    build_indexes = {"hnsw_index", "message_index", "memory_index"}
    assert {name for name, pool in pools.items() if pool == "index_build"} == build_indexes


def test_assets_that_write_are_retried_with_exponential_backoff() -> None:
    for name in ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space", "message_embeddings"):
        policy = ASSETS[name].op.retry_policy
        assert policy is not None, name
        assert policy.max_retries > 0
        assert policy.backoff == dg.Backoff.EXPONENTIAL


def test_a_backfill_of_many_partitions_is_one_run() -> None:
    for name, asset in ASSETS.items():
        if asset.partitions_def is not None:
            assert asset.backfill_policy == dg.BackfillPolicy.single_run(), name


@pytest.mark.parametrize("hours", ["0.02", "1000000"])
def test_the_extreme_valid_ages_make_a_freshness_policy(hours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_STALE_AFTER_HOURS", hours)
    assert freshness_policy(load_settings())


@pytest.mark.parametrize("hours", ["0", "0.001", "1e308", "inf", "nan"])
def test_an_age_that_dagster_does_not_accept_is_refused(hours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_ASSETS_STALE_AFTER_HOURS", hours)
    with pytest.raises(UsageError, match="RAG_ASSETS_STALE_AFTER_HOURS"):
        load_settings()

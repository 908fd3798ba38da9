"""A pipeline whose assets have other keys, declared projects and a body of the user's around each asset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import Engine

from rag_assets import build_definitions
from rag_assets.settings.settings import Settings
from tests.support.fakes import ENCODERS, FakeEmbedder
from tests.support.pipeline.stages import write

executed: list[str] = []


def execute(context: dg.AssetExecutionContext, materialize: Callable[[], Any]) -> Any:
    executed.append(context.asset_key.to_user_string())
    return materialize()


def translate(asset: str, spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(key=["library", f"our_{asset}"])


@pytest.fixture
def defs(settings: Settings, tmp_path: Path, engine: Engine) -> dg.Definitions:
    ENCODERS.clear()
    executed.clear()
    write(tmp_path / "handbook" / "whale.md", "# Whales\n\nWhales sing.\n")
    return build_definitions(
        key_prefix="docs",
        projects={"handbook": {"source": "handbook"}},
        projects_folder=tmp_path,
        observe_sources=True,
        resources={"embedder": FakeEmbedder()},
        translate=translate,
        execute=execute,
    )


def tick(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """Evaluate the sensor that makes the declared projects partitions."""
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("docs_project_partitions")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    resources = {"docs_postgres": (defs.resources or {})["docs_postgres"]}
    with dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources) as context:
        for request in sensor.evaluate_tick(context).dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))


def test_all_stages_run_under_their_translated_keys(defs: dg.Definitions, tmp_path: Path) -> None:
    @dg.asset(
        partitions_def=dg.DynamicPartitionsDefinition(name="docs_projects"),
        ins={"chunks": dg.AssetIn(["library", "our_chunks"])},
        deps=[["library", "our_live_space"]],
    )
    def longest(chunks: pd.DataFrame) -> int:
        return int(chunks["token_count"].max())

    own = longest.with_attributes(backfill_policy=dg.BackfillPolicy.single_run())
    mine = dg.define_asset_job("mine", dg.AssetSelection.assets("longest").upstream())
    merged = dg.Definitions.merge(defs, dg.Definitions(assets=[own], jobs=[mine]))
    with dg.DagsterInstance.get() as instance:
        tick(merged, instance)
        assert instance.get_dynamic_partitions("docs_projects") == ["handbook"]
        result = merged.resolve_job_def("mine").execute_in_process(
            instance=instance, partition_key="handbook", raise_on_error=False
        )
        assert result.success
        assert result.output_for_node("longest") > 0
        stages = ("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space")
        assert executed == [f"library/our_{stage}" for stage in stages]
        [event] = [
            found
            for found in result.get_asset_materialization_events()
            if found.asset_key == dg.AssetKey(["library", "our_chunks"])
        ]
        lineage = event.materialization.metadata["dagster/column_lineage"].value
        assert lineage.deps_by_column["chunk_text"][0].asset_key == dg.AssetKey(["library", "our_raw_documents"])
        assert not [found for found in result.get_asset_check_evaluations() if not found.passed]


def observed_version(instance: dg.DagsterInstance) -> str:
    [record] = instance.fetch_observations(dg.AssetKey(["library", "our_sources"]), limit=1).records
    observation = record.event_log_entry.asset_observation
    assert observation is not None
    assert observation.partition == "handbook"
    version = observation.data_version
    assert version is not None
    return version


def test_a_source_is_observed_with_a_data_version(defs: dg.Definitions, tmp_path: Path) -> None:
    sources = next(asset for asset in defs.assets or [] if isinstance(asset, dg.SourceAsset))
    with dg.DagsterInstance.get() as instance:
        tick(defs, instance)
        versions = []
        for text in ("", "# More\n\nAnother one.\n"):
            if text:
                write(tmp_path / "handbook" / "more.md", text)
            found = dg.Definitions.merge(
                defs, dg.Definitions(jobs=[dg.define_asset_job("observe", dg.AssetSelection.assets(sources.key))])
            )
            assert found.resolve_job_def("observe").execute_in_process(instance=instance).success
            versions.append(observed_version(instance))
        assert versions[0] != versions[1]

"""Assets follow their upstreams: no update is lost, and a failed partition does not delay the others."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from rag_assets.definitions import defs
from rag_assets.orchestration.assets.conditions import FOLLOWS_PARTITIONS, FOLLOWS_UPSTREAM
from rag_assets.orchestration.automation.jobs import INGEST_ASSETS
from rag_assets.orchestration.automation.run_requests import refresh_requests
from rag_assets.orchestration.partitions import projects
from rag_assets.orchestration.scope import PipelineScope
from tests.support.orchestration.dagster_homes import SHIPPED_CONFIG, needs_custom_storage


def _materialization_event(run: dg.DagsterRun, materialization: dg.AssetMaterialization) -> Any:
    from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
    from dagster._core.events.log import EventLogEntry

    kind = DagsterEventType.ASSET_MATERIALIZATION.value
    event = DagsterEvent(kind, run.job_name, event_specific_data=StepMaterializationData(materialization))
    return EventLogEntry(  # type: ignore[no-untyped-call]
        None, "info", "", run.run_id, time.time(), job_name=run.job_name, dagster_event=event
    )


def _success_event(run: dg.DagsterRun) -> Any:
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.events.log import EventLogEntry

    event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, run.job_name)
    return EventLogEntry(  # type: ignore[no-untyped-call]
        None, "info", "", run.run_id, time.time(), job_name=run.job_name, dagster_event=event
    )


PROJECTS = ["alpha", "broken", "gamma"]


@dataclass
class AutomationHistory:
    """The event history of the real assets; `tick` returns what automation requests."""

    instance: dg.DagsterInstance
    _cursor: Any = None

    def tick(self) -> dict[str, set[str | None]]:
        found = dg.evaluate_automation_conditions(
            defs, self.instance, asset_selection=dg.AssetSelection.groups("rag"), cursor=self._cursor
        )
        self._cursor = found.cursor
        requested = {}
        for asset in ("chunks", "embeddings", "hnsw_index", "live_space"):
            subset = found.get_requested_partitions(dg.AssetKey(asset))
            if subset:
                requested[asset] = set(subset)
        return requested

    def start(self, *assets: str, key: str | None = None, tags: Mapping[str, str] = {}) -> dg.DagsterRun:
        """Start a run of the assets; it is in progress until `end`."""
        keys = {dg.AssetKey(asset) for asset in assets}
        return self.instance.create_run_for_job(
            defs.resolve_job_def("ingest").get_subset(asset_selection=keys),
            asset_selection=frozenset(keys),
            tags={**tags, **({"dagster/partition": key} if key else {})},
            status=dg.DagsterRunStatus.STARTED,
        )

    def end(self, run: dg.DagsterRun, *, failed: bool = False) -> None:
        if failed:
            self.instance.report_run_failed(run)
        else:
            self.instance.handle_new_event(_success_event(run))

    def update(self, asset: str, *keys: str | None, run: dg.DagsterRun | None = None) -> None:
        for key in keys or (None,):
            if run is not None:
                self.instance.handle_new_event(
                    _materialization_event(run, dg.AssetMaterialization(asset, partition=key))
                )
                continue
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))


@pytest.fixture
def history() -> Iterator[AutomationHistory]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(projects.name), PROJECTS)
        found = AutomationHistory(instance)
        for asset in ("raw_documents", "chunks", "embeddings"):
            found.update(asset, "alpha", "gamma")
        for asset in ("hnsw_index", "live_space"):
            found.update(asset)
        found.tick()
        assert found.tick() == {}
        yield found


def test_chunks_and_embeddings_follow_the_updated_partition(history: AutomationHistory) -> None:
    history.update("raw_documents", "alpha")
    assert history.tick() == {"chunks": {"alpha"}, "embeddings": {"alpha"}}
    assert history.tick() == {}


def test_the_index_follows_while_a_partition_is_missing(history: AutomationHistory) -> None:
    history.update("embeddings", "gamma")
    assert history.tick() == {"hnsw_index": {None}, "live_space": {None}}
    assert history.tick() == {}


def test_updates_within_one_run_request_nothing(history: AutomationHistory) -> None:
    run = history.start("raw_documents", "chunks", "embeddings", "hnsw_index", "live_space", key="alpha")
    history.update("raw_documents", "alpha", run=run)
    assert history.tick() == {}
    history.update("chunks", "alpha", run=run)
    assert history.tick() == {}, "the same run updates embeddings, index and live space"


def test_updates_within_a_run_over_several_projects_request_nothing(history: AutomationHistory) -> None:
    context = dg.build_sensor_context(instance=history.instance, definitions=defs)
    [request] = refresh_requests(context, PipelineScope(), {"alpha", "broken"})
    run = history.start(*INGEST_ASSETS, tags=request.tags)
    for asset in ("raw_documents", "chunks", "embeddings"):
        history.update(asset, "alpha", "broken", run=run)
        assert history.tick() == {}, asset
    history.end(run)
    assert history.tick() == {}
    history.update("raw_documents", "alpha")
    assert history.tick() == {"chunks": {"alpha"}, "embeddings": {"alpha"}}, "an update outside of the run"


@needs_custom_storage
def test_updates_within_the_first_run_of_an_installation_request_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(SHIPPED_CONFIG)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(str(projects.name), PROJECTS)
        history = AutomationHistory(instance)
        assert history.tick() == {}, "the history is empty"
        context = dg.build_sensor_context(instance=instance, definitions=defs)
        [request] = refresh_requests(context, PipelineScope(), {"alpha", "broken"})
        run = history.start(*INGEST_ASSETS, tags=request.tags)
        # All of these updates come before the second tick of automation.
        for asset in ("raw_documents", "chunks", "embeddings"):
            history.update(asset, "alpha", "broken", run=run)
        assert history.tick() == {}
        for asset in ("hnsw_index", "live_space"):
            history.update(asset, run=run)
        history.end(run)
        assert history.tick() == {}
        history.update("raw_documents", "alpha")
        assert history.tick() == {"chunks": {"alpha"}, "embeddings": {"alpha"}}, "an update outside of the run"


def test_an_update_during_an_index_build_is_followed_after_the_build(history: AutomationHistory) -> None:
    history.update("embeddings", "alpha")
    assert "hnsw_index" in history.tick()
    run = history.start("hnsw_index")
    history.update("embeddings", "gamma")
    assert "hnsw_index" not in history.tick()
    assert "hnsw_index" not in history.tick(), "the build is in progress"
    # The update is seen in the same tick as the end of the build.
    history.update("hnsw_index")
    history.end(run)
    assert "hnsw_index" in history.tick(), "the build did not include gamma"
    assert history.tick() == {}


def test_an_update_in_the_tick_after_a_request_is_requested_again(history: AutomationHistory) -> None:
    history.update("embeddings", "alpha")
    assert "hnsw_index" in history.tick()
    history.update("embeddings", "gamma")
    assert "hnsw_index" in history.tick()


def test_the_index_waits_for_running_embeddings_and_not_for_failed_ones(history: AutomationHistory) -> None:
    run = history.start("embeddings", key="broken")
    history.update("embeddings", "alpha")
    assert "hnsw_index" not in history.tick()
    history.end(run, failed=True)
    assert "hnsw_index" in history.tick(), "the failed partition is not waited for"


def test_assets_have_these_automation_conditions() -> None:
    conditions = {
        spec.key.to_user_string(): spec.automation_condition
        for asset in defs.assets or []
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
    }
    assert conditions["raw_documents"] is None, "a sensor watches its source"
    assert {conditions[name] for name in ("chunks", "embeddings", "live_space")} == {FOLLOWS_UPSTREAM}
    assert conditions["hnsw_index"] == FOLLOWS_PARTITIONS
